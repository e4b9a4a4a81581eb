"""Folders for what is written: none is left of what failed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from us8k_batch.errors import RequestError
from us8k_batch.folders import beside, made


def test_folders_stay_when_the_work_is_done(tmp_path: Path) -> None:
    """All that lead there are made, with the mode that umask gives."""
    before = os.umask(0o027)
    try:
        with made(tmp_path / "a" / "b"):
            pass
        beside(tmp_path / "a" / "x").touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o750
    (file,) = (one for one in (tmp_path / "a").iterdir() if one.is_file())
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_folders_vanish_with_what_failed(tmp_path: Path) -> None:
    """Those that were made here, with what was kept for next time; not what was there, nor what others left."""
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="x"), made(tmp_path / "there" / "a" / "b", scrap="cache"):
        (tmp_path / "there" / "a" / "b" / "cache").mkdir()
        raise ValueError("x")
    assert list((tmp_path / "there").iterdir()) == []
    with pytest.raises(KeyboardInterrupt), made(tmp_path / "c" / "d"):
        (tmp_path / "c" / "others").touch()
        raise KeyboardInterrupt
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["others"]


@pytest.mark.parametrize("place", ["/proc/new/folder", "/sys/kernel", "file/folder"])
def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path: Path, place: str) -> None:
    """Read-only, no folder: the message names the place and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match=r"cannot be written \(.+\); choose another --out"), made(tmp_path / place):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
