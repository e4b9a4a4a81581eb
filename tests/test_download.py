"""A download costs every byte once, whatever happens, and is believed only with its checksum."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from archives import serve

from us8k_batch.catalog import download
from us8k_batch.catalog.download import bytes_there, part_of
from us8k_batch.errors import JobError, RequestError

DATA = os.urandom(100_000)
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for 10,000 bytes at a time."""
    monkeypatch.setattr(download, "STEP", 10_000)


def fetch(url: str, target: Path, md5: str = MD5) -> list[int]:
    """Download without pauses; return what was counted."""
    counted: list[int] = []
    download.download(download.look(url), target, md5, counted.append, sleep=lambda _: None)
    return counted


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_arrives_whole(tmp_path: Path, ranges: bool) -> None:
    """From a server with ranges and from one without; nothing but the file is left."""
    with serve(DATA, ranges=ranges) as served:
        counted = fetch(served.url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    assert counted == sorted(counted)
    assert counted[-1] == len(DATA)
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_goes_away_costs_nothing(tmp_path: Path, ranges: bool) -> None:
    """What is there is kept, the message says how much, and the next try asks for the rest, if it can be."""
    with serve(DATA, ranges=ranges) as served:
        remote = download.look(served.url)
        served.cut = None if ranges else 40_000

        def stop(have: int) -> None:
            if have >= 30_000:
                served.cut = 100

        with pytest.raises(JobError, match=r"\d+ of 100000 bytes are there: the same command goes on"):
            download.download(remote, tmp_path / "x", MD5, stop, sleep=lambda _: None)
        have = bytes_there(remote, tmp_path / "x")
        assert have >= (30_000 if ranges else 0)
        served.cut = None
        served.asked.clear()
        fetch(served.url, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == DATA
        if ranges:
            assert served.asked[1] == ("GET", f"bytes={have}-{have + 9_999}")


def test_a_connection_that_is_cut_now_and_then_is_made_anew(tmp_path: Path) -> None:
    """Each piece is asked for up to four times."""
    with serve(DATA) as served:
        remote = download.look(served.url)
        pauses = []

        def mend(seconds: float) -> None:
            pauses.append(seconds)
            served.cut = None

        def cut(have: int) -> None:
            served.cut = 5_000 if have % 20_000 == 0 else None

        download.download(remote, tmp_path / "x", MD5, cut, sleep=mend)
    assert (tmp_path / "x").read_bytes() == DATA
    assert len(pauses) == 4


def test_another_checksum_is_refused_and_removed(tmp_path: Path) -> None:
    """A file that is not the expected one is never in its place, and the next try starts anew."""
    with serve(DATA[::-1]) as served, pytest.raises(JobError, match=f"expected {MD5}; they were removed"):
        fetch(served.url, tmp_path / "x")
    assert os.listdir(tmp_path) == []


def test_what_is_left_of_another_file_is_not_continued(tmp_path: Path) -> None:
    """When the server has a new version, the old beginning is dropped."""
    target = tmp_path / "x"
    with serve(b"old" * 50_000, cut=500) as old, pytest.raises(JobError):
        fetch(old.url, target)
    part_of(target).write_bytes(b"old" * 1000)
    with serve(DATA) as served:
        assert bytes_there(download.look(served.url), target) == 0
        fetch(served.url, target)
    assert target.read_bytes() == DATA


def test_two_at_once_do_not_write_into_one_file(tmp_path: Path) -> None:
    """The second one is refused."""
    with serve(DATA) as served:
        remote = download.look(served.url)

        def second(_: int) -> None:
            with pytest.raises(RequestError, match="another process is downloading it"):
                download.download(remote, tmp_path / "x", MD5, lambda _: None)

        download.download(remote, tmp_path / "x", MD5, second)
    assert (tmp_path / "x").read_bytes() == DATA


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host/x.tar.gz", "expected an http"),
        ("http://127.0.0.1/", "ends with a file's name"),
        ("https:///x.tar.gz", "expected an http"),
    ],
)
def test_other_urls_are_refused(url: str, reason: str) -> None:
    """Only HTTP, and only a file."""
    with pytest.raises(RequestError, match=reason):
        download.look(url)


def test_a_file_that_is_not_there_is_a_bad_request() -> None:
    """404 names the URL."""
    with serve(DATA) as served, pytest.raises(RequestError, match=r"nothing\.zip: the server has no such file"):
        download.look(served.url.replace("UrbanSound8K.tar.gz", "nothing.zip"))
