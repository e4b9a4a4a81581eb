"""Clips on a disk: seen without being opened, read only if they are regular files of the dataset."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog import local
from us8k_batch.catalog.local import LocalSource
from us8k_batch.catalog.unreadable import (
    MissingClipError,
    NotAFileError,
    OutsideRootError,
    PermissionDeniedError,
    TooLargeError,
)
from us8k_batch.errors import ClipError, StorageError
from us8k_batch.objects.retry import pauses

NOBODY = 65534


def scan(root: Path | str, *paths: str) -> list[dict[str, object]]:
    """Scan some paths; return what was seen of each."""
    return LocalSource(str(root)).scan(pa.chunked_array([pa.array(paths, pa.string())])).to_pylist()


def errors(root: Path | str, *paths: str) -> list[object]:
    """Scan some paths; return only the errors."""
    return [row["error"] for row in scan(root, *paths)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Make a folder with one clip of five bytes."""
    root = tmp_path / "dataset"
    (root / "audio").mkdir(parents=True)
    (root / "audio/a.wav").write_bytes(b"12345")
    return root


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Yield a folder that anybody may use, with no more rights than anybody has."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        yield Path(folder)
        os.seteuid(user)


@given(
    st.sets(st.sampled_from("abcdefgh")),
    st.lists(st.sampled_from(["", "x/", "x/y/", "z/"]), min_size=1),
    st.integers(1, 5),
)
def test_a_scan_sees_what_a_stat_of_each_clip_would_see(there, folders, at_once):
    """Size and time of what is there, missing for what is not, in the order asked for, repeats included.

    However few entries of a folder are looked at together.
    """
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "ENTRIES_IN_HAND", at_once)
        (Path(root) / "x/y").mkdir(parents=True)
        for name in there:
            for folder in ("", "x/", "x/y/"):
                (Path(root) / (folder + name)).write_bytes(b"." * ord(name))
        paths = [folder + name for folder in folders for name in "abcdefgh"]
        for path, row in zip(paths, scan(root, *paths), strict=True):
            full = Path(root) / path
            if full.exists():
                assert (row["size"], row["mtime_ns"], row["error"]) == (
                    len(full.read_bytes()),
                    full.stat().st_mtime_ns,
                    None,
                )
            else:
                assert (row["size"], row["mtime_ns"], row["stage"], row["error"]) == (None, None, "read", "missing")


def test_missing_clips_cost_no_call_each(dataset, monkeypatch):
    """Thousands of missing clips in a folder are found by listing it once."""
    looked_at: list[bytes] = []
    real = LocalSource._status
    monkeypatch.setattr(
        LocalSource, "_status", lambda self, entry: (looked_at.append(entry.name), real(self, entry))[1]
    )
    opened: list[str] = []
    listing = os.scandir
    monkeypatch.setattr(local.os, "scandir", lambda path: (opened.append(path), listing(path))[1])
    found = errors(dataset, "audio/a.wav", *(f"audio/{i}.wav" for i in range(8722)))
    assert found == [None] + ["missing"] * 8722
    assert looked_at == [b"a.wav"]
    assert len(opened) == 1


def test_a_name_that_is_not_utf8_is_nobodys_clip(dataset):
    """It may lie beside the clips."""
    try:
        (dataset / os.fsdecode(b"audio/\xff.wav")).touch()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert errors(dataset, "audio/a.wav") == [None]


def test_what_is_no_regular_file_is_no_clip(dataset):
    """A scan names a folder, a pipe, a socket and a loop of links; reading one neither hangs nor succeeds."""
    audio = dataset / "audio"
    (audio / "folder.wav").mkdir()
    os.mkfifo(audio / "pipe.wav")
    (audio / "loop.wav").symlink_to("loop.wav")
    names = ["folder.wav", "pipe.wav", "loop.wav"]
    with socket.socket(socket.AF_UNIX) as endpoint:
        if len(str(audio)) < 90:
            endpoint.bind(str(audio / "socket.wav"))
            names.append("socket.wav")
        assert errors(dataset, *(f"audio/{name}" for name in names)) == ["not_a_file"] * len(names)
        for name in names:
            with pytest.raises(NotAFileError, match=f"^audio/{name}: .*expected a regular file"):
                LocalSource(str(dataset)).read(f"audio/{name}", 100)


def test_a_device_is_no_clip():
    """Reading a device could go on for ever."""
    assert errors("/dev", "zero") == ["not_a_file"]
    with pytest.raises(NotAFileError):
        LocalSource("/dev").read("zero", 100)


@pytest.mark.parametrize("path", ["audio/b.wav", "nowhere/a.wav", "audio/a.wav/b.wav", "audio/" + "x" * 300])
def test_what_is_not_there_is_missing(dataset, path):
    """No such name, no such folder, a file in place of a folder, a name that no file could have."""
    assert errors(dataset, path) == ["missing"]
    with pytest.raises(MissingClipError):
        LocalSource(str(dataset)).read(path, 100)


def test_a_link_inside_the_dataset_is_a_clip(dataset):
    """Links, also of folders, also in the path of the dataset itself, are followed while they stay inside."""
    (dataset / "audio/link.wav").symlink_to("a.wav")
    (dataset / "more").symlink_to("audio")
    outer = dataset.parent / "outer"
    outer.symlink_to(dataset)
    assert errors(outer, "audio/link.wav", "more/a.wav") == [None, None]
    assert LocalSource(str(outer)).read("more/link.wav", 100) == b"12345"


def test_a_link_out_of_the_dataset_is_not_followed(dataset):
    """Neither a file's nor a folder's, by a scan or a read, nor one to a folder whose name begins like the root's."""
    beside = dataset.parent / "dataset-private"
    beside.mkdir()
    (beside / "a.wav").write_bytes(b"secret")
    (dataset / "audio/out.wav").symlink_to(beside / "a.wav")
    (dataset / "out").symlink_to(beside)
    paths = ["audio/out.wav", "out/a.wav", "out/none.wav"]
    assert errors(dataset, *paths) == ["outside_root"] * 3
    for path in paths:
        with pytest.raises(ClipError, match="leads out of the dataset") as caught:
            LocalSource(str(dataset)).read(path, 100)
        assert (caught.value.stage, caught.value.error) == ("read", "outside_root")
        assert "secret" not in str(caught.value)


def test_a_root_that_is_the_whole_disk_holds_everything(dataset):
    """The root may be /."""
    assert errors("/", str(dataset / "audio/a.wav")[1:]) == [None]


def test_a_clip_that_may_not_be_read_is_seen_by_the_scan(unprivileged):
    """So that it is new, and tried, as soon as its permission is mended: that changes no modification time."""
    (unprivileged / "a.wav").write_bytes(b"12345")
    (unprivileged / "a.wav").chmod(0o000)
    (unprivileged / "closed").mkdir(mode=0o000)
    assert errors(unprivileged, "a.wav", "closed/b.wav") == ["permission_denied"] * 2
    with pytest.raises(PermissionDeniedError, match=r"a.wav: may not be read"):
        LocalSource(str(unprivileged)).read("a.wav", 100)
    (unprivileged / "a.wav").chmod(0o400)
    assert errors(unprivileged, "a.wav") == [None]


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_no_more_is_read_than_the_limit_allows(size, limit):
    """All bytes, or an error that says how many there are."""
    with tempfile.TemporaryDirectory() as root:
        data = bytes(size)
        (Path(root) / "a.wav").write_bytes(data)
        if size <= limit:
            assert LocalSource(root).read("a.wav", limit) == data
        else:
            with pytest.raises(TooLargeError, match=f"a.wav: holds {size} bytes or more, expected at most {limit}"):
                LocalSource(root).read("a.wav", limit)


def test_a_file_that_tells_no_size_is_read_to_its_end():
    """As one that grew since it was opened: what counts is where it ends."""
    assert LocalSource("/proc/self").read("status", 1 << 20).startswith(b"Name:")
    with pytest.raises(TooLargeError):
        LocalSource("/proc/self").read("status", 10)


def test_the_beginning_comes_with_the_whole_size(dataset):
    """Enough to judge a header without reading the clip."""
    assert LocalSource(str(dataset)).read_head("audio/a.wav", 2) == (b"12", 5)
    assert LocalSource(str(dataset)).read_head("audio/a.wav", 10) == (b"12345", 5)
    with pytest.raises(MissingClipError):
        LocalSource(str(dataset)).read_head("audio/b.wav", 2)


def test_trouble_with_the_disk_is_retried_and_is_not_the_clips_fault():
    """EIO, here from a file of the kernel, is a StorageError without any address, after all pauses."""
    slept: list[float] = []
    with pytest.raises(StorageError) as caught:
        LocalSource("/proc/self", slept.append).read("mem", 100)
    assert str(caught.value) == "mem: cannot be read: EIO (Input/output error)"
    assert tuple(slept) == pauses("mem")


def test_reading_leaves_no_descriptor_open(dataset):
    """Good clips and bad ones are closed again; the folder of the last one is, with the source."""
    (dataset / "audio/folder.wav").mkdir()
    source = LocalSource(str(dataset))
    for _ in range(20):
        source.read("audio/a.wav", 100)
        with pytest.raises(NotAFileError):
            source.read("audio/folder.wav", 100)
    source.read("audio/a.wav", 100)
    assert opened_below(dataset / "audio") == bool(local.FINDING)
    del source
    assert opened_below(dataset) == 0


def opened_below(folder: Path) -> int:
    """Count this process's descriptors of a folder and what is in it."""
    there = str(folder.resolve())
    return sum(
        os.path.realpath(f"/proc/self/fd/{number}").startswith(there) for number in os.listdir("/proc/self/fd")
    )


@pytest.mark.parametrize("moment", ["folder", "clip"])
def test_a_folder_that_becomes_a_link_while_a_clip_is_opened_is_noticed(dataset, monkeypatch, moment):
    """What was found says itself where it is, whatever its path leads to by then; nothing outside is read."""
    beside = dataset.parent / "beside"
    beside.mkdir()
    (beside / "a.wav").write_bytes(b"a secret")
    source, opened = LocalSource(str(dataset)), os.open

    def exchange_then_open(path, flags, **where):
        if path.endswith({"folder": "/audio", "clip": "a.wav"}[moment]) and not (dataset / "was").exists():
            (dataset / "audio").rename(dataset / "was")
            (dataset / "audio").symlink_to(beside)
        return opened(path, flags, **where)

    monkeypatch.setattr(os, "open", exchange_then_open)
    if moment == "clip":  # its folder was found before
        assert source.read("audio/a.wav", 100) == b"12345"
    else:
        with pytest.raises(OutsideRootError, match="leads out of the dataset"):
            source.read("audio/a.wav", 100)


def test_a_clip_that_becomes_a_link_while_it_is_opened_is_noticed(dataset, monkeypatch):
    """It is found anew, which tells where it leads."""
    source, looked = LocalSource(str(dataset)), os.stat

    def look_then_exchange(path, **where):
        status = looked(path, **where)
        if path == "a.wav":
            (dataset / "audio/a.wav").unlink()
            (dataset / "audio/a.wav").symlink_to("/etc/passwd")
        return status

    monkeypatch.setattr(os, "stat", look_then_exchange)
    with pytest.raises(OutsideRootError, match="leads out of the dataset"):
        source.read("audio/a.wav", 100)


def test_a_folder_that_is_replaced_between_two_clips(dataset):
    """What is gone from the folder that was found is looked for where its path leads to now."""
    source = LocalSource(str(dataset))
    assert source.read("audio/a.wav", 100) == b"12345"
    shutil.rmtree(dataset / "audio")
    with pytest.raises(MissingClipError):
        source.read("audio/a.wav", 100)
    (dataset / "audio").mkdir()
    (dataset / "audio/a.wav").write_bytes(b"new")
    assert source.read("audio/a.wav", 100) == b"new"


def test_what_is_outside_is_not_even_opened(dataset, monkeypatch):
    """Nor what is no regular file: opening a device can rewind a tape."""
    (dataset / "audio/out.wav").symlink_to("/dev/zero")
    os.mkfifo(dataset / "audio/pipe.wav")
    used, opened = [], os.open

    def open_and_note(path, flags, **where):
        used.append((Path(path).name, flags))
        return opened(path, flags, **where)

    monkeypatch.setattr(os, "open", open_and_note)
    source = LocalSource(str(dataset))
    for name in ("out", "pipe"):
        with pytest.raises(ClipError):
            source.read(f"audio/{name}.wav", 100)
    assert used == [(name, local.FINDING) for name in ("audio", "out.wav", "pipe.wav")]
    source.read("audio/a.wav", 100)
    assert used[3:] == [("a.wav", local.READING | os.O_NOFOLLOW)]


@pytest.mark.parametrize("test", [
    test_a_link_inside_the_dataset_is_a_clip, test_a_link_out_of_the_dataset_is_not_followed,
    test_what_is_no_regular_file_is_no_clip, test_reading_leaves_no_descriptor_open,
])  # fmt: skip
def test_systems_that_cannot_find_without_opening_resolve_first(test, dataset, monkeypatch):
    """With the same answers."""
    monkeypatch.setattr(local, "FINDING", 0)
    test(dataset)


@pytest.mark.parametrize(("year", "seen"), [(1600, -(1 << 63)), (2400, (1 << 63) - 1), (1970, 0)])
def test_a_time_beyond_64_bits_of_nanoseconds_is_the_nearest_that_they_hold(dataset, year, seen):
    """A clock that was wrong when a file was written, or an archive's, ends no command."""
    path = dataset / "audio/a.wav"
    wanted = (year - 1970) * 31_556_952 * 10**9
    os.utime(path, ns=(0, wanted))
    if path.stat().st_mtime_ns != wanted:
        pytest.skip("this file system does not keep such times")
    assert LocalSource(str(dataset)).scan(pa.array(["audio/a.wav"]))["mtime_ns"].to_pylist() == [seen]
