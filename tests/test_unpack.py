"""An archive may try anything; what comes out are regular files below one folder, or a reason."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from archives import CLIPS, TOP, make_archive, member

from us8k_batch.catalog.unpack import unpack
from us8k_batch.errors import JobError

LIMIT = 1 << 20
HOSTILE = {
    "absolute": member("/etc/evil", b"x"),
    "above": member(f"{TOP}/../evil", b"x"),
    "far above": member("../../../../evil", b"x"),
    "elsewhere": member("Other/evil", b"x"),
    "backslash": member(f"{TOP}\\..\\evil", b"x"),
    "deep": member(f"{TOP}/a/b/c/d/e/f/evil", b"x"),
    "symbolic link": member(f"{TOP}/evil", type=tarfile.SYMTYPE, linkname="/etc"),
    "hard link": member(f"{TOP}/evil", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "pipe": member(f"{TOP}/evil", type=tarfile.FIFOTYPE),
    "device": member(f"{TOP}/evil", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "large": member(f"{TOP}/evil", bytes(LIMIT)),
    "twice": member(f"{TOP}/{next(iter(CLIPS))}", b"other"),
    "file as folder": member(f"{TOP}/{next(iter(CLIPS))}/evil", b"x"),
}


def take(data: bytes, folder: Path, **options: object) -> list[str]:
    """Unpack everything; return the paths."""
    return [one.path for one in unpack(io.BytesIO(data), TOP, folder, LIMIT, **options)]  # type: ignore[arg-type]


def test_everything_is_unpacked_but_hidden_files(tmp_path: Path) -> None:
    """All clips and the metadata, with their bytes."""
    paths = take(make_archive(), tmp_path / "out")
    assert paths == [*CLIPS, "metadata/UrbanSound8K.csv"]
    assert all((tmp_path / "out" / path).read_bytes() == data for path, data in CLIPS.items())
    assert sorted(str(path) for path in tmp_path.rglob(".*")) == []


def test_only_a_part(tmp_path: Path) -> None:
    """What does not begin as asked is passed over."""
    assert take(make_archive(), tmp_path, only="audio/") == list(CLIPS)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members_are_refused(tmp_path: Path, kind: str) -> None:
    """Nothing is written outside the folder, nothing special inside, nothing twice, nothing too large."""
    out = tmp_path / "in" / "out"
    with pytest.raises((JobError, OSError), match=r"evil|exist|directory|not the archive"):
        take(make_archive(HOSTILE[kind]), out)
    found = [path for path in tmp_path.rglob("*") if path.is_symlink() or not (path.is_dir() or path.is_file())]
    assert found == []
    assert not any("evil" in path.name for path in tmp_path.rglob("*"))
    assert (out / next(iter(CLIPS))).read_bytes() == next(iter(CLIPS.values()))


def test_a_header_that_announces_gigabytes_is_not_read(tmp_path: Path) -> None:
    """A name of 8 GB would be read into memory by Python itself."""
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8 << 30
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
        tar.fileobj.write(bytes(1 << 20))
    with pytest.raises(JobError, match="a header of 8589934592 bytes"):
        take(file.getvalue(), tmp_path)


@pytest.mark.parametrize("length", [0, 1, 10, 200, 1000, -20_000])
def test_a_truncated_archive_is_no_archive(tmp_path: Path, length: int) -> None:
    """Cut anywhere, or empty, it is refused with its reason, and not taken for a small one."""
    with pytest.raises(JobError, match="not the archive that was expected"):
        take(make_archive()[:length], tmp_path)


def test_rubbish_is_refused(tmp_path: Path) -> None:
    """Bytes that are no gzip."""
    with pytest.raises(JobError, match="not the archive that was expected"):
        take(b"<html>Not found</html>" * 1000, tmp_path)
