"""Forks: what was opened before is read after, in a child that has none of its parent's threads."""

from __future__ import annotations

import multiprocessing
import pickle
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from stores import make_clips, run

from us8k_batch.catalog.bucket import BucketSource
from us8k_batch.errors import RequestError
from us8k_batch.objects import open_objects, process
from us8k_batch.store.reader import Store, open_store

FORK = multiprocessing.get_context("fork")
PATIENCE = 60.0
"""Seconds after which a child counts as hanging; it takes less than one."""


def in_child(work: Callable[[], Any]) -> Any:
    """Return what `work` gives in a child that is forked here, as a data loader's worker is."""
    ours, theirs = FORK.Pipe()
    child = FORK.Process(target=_send, args=(theirs, work), daemon=True)
    child.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE), "the child hangs"
        told, trouble = ours.recv()
        assert not trouble, trouble
        return told
    finally:
        child.kill()
        child.join()


def _send(pipe: Connection, work: Callable[[], Any]) -> None:
    try:
        pipe.send((work(), ""))
    except BaseException:
        pipe.send((None, traceback.format_exc()))


@pytest.fixture(params=["local", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Open a store on a disk, and one in a bucket; a frame of it was read."""
    folder = tmp_path / "store"
    run(folder, make_clips(20))
    url = str(folder)
    if request.param == "bucket":
        url = request.getfixturevalue("s3") + "/store"
        objects, disk = open_objects(url), open_objects(str(folder))
        for info in disk.list(""):
            objects.create(info.key, disk.get(info.key))
    opened = open_store(url)
    assert opened.mfcc[0].any()
    return opened


def test_a_store_that_was_opened_before_a_fork_is_read_after_it(store: Store) -> None:
    """Frames of one clip and of many, vectors and failures are the same in a child, and in a child of that."""

    def read() -> list[Any]:
        return [store.mfcc[3], store.mfcc[:], store.vectors(), len(store.failures), store.source_sha256(1)]

    expected = read()
    for found in (in_child(read), in_child(lambda: in_grandchild(read)), read()):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def in_grandchild(work: Callable[[], Any]) -> Any:
    """Read in this process, and then in a child of it."""
    work()
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # it is awaited below
    return in_child(work)


def test_a_store_is_opened_in_a_child_of_a_process_that_opened_one(store: Store) -> None:
    """Another store too, as Zarr and as xarray see it: also what xarray had opened before the fork."""
    before = store.to_xarray()
    expected = store.mfcc[2]

    def opened_here() -> Any:
        again = open_store(store.url)
        np.testing.assert_array_equal(again.mfcc[2], expected)
        return again.to_xarray()["mfcc"][2].to_numpy()

    def opened_before() -> Any:
        return before["mfcc"][2].to_numpy()

    for work in (opened_here, opened_before):
        np.testing.assert_array_equal(in_child(work), expected)
    sent = pickle.loads(pickle.dumps(before))  # noqa: S301  # our own
    np.testing.assert_array_equal(sent["mfcc"][2], expected)


def test_clips_of_a_bucket_are_found_and_read_in_a_child(s3: str) -> None:
    """A dataset's source, and objects that are written, go on in the child as in the parent."""
    objects, source = open_objects(s3), BucketSource(s3)
    objects.create("x/a.wav", b"12345")
    assert source.read("x/a.wav", 5) == b"12345"

    def use() -> list[Any]:
        sizes = source.scan(pa.array(["x/a.wav"]))["size"].to_pylist()
        return [source.read("x/a.wav", 5), sizes, objects.create("x/b.wav", b""), objects.create("x/b.wav", b"other")]

    assert in_child(use) == [b"12345", [5], True, False]
    assert objects.get("x/b.wav") == b""


def test_where_obstore_cannot_be_loaded_twice_the_child_says_so_at_once(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the cause and the ways out; local stores need nothing of it."""
    objects = open_objects(s3)
    objects.create("key", b"")

    def refuse(library: Path) -> None:
        raise OSError(f"{library}: no memory files here")

    monkeypatch.setattr(process, "_load_copy", refuse)

    def use() -> str:
        with pytest.raises(RequestError) as caught:
            objects.get("key")
        return str(caught.value)

    assert "'spawn' or 'forkserver'" in in_child(use)
    assert objects.get("key") == b""


def test_a_local_store_needs_no_threads_of_obstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from plain files, so that nothing of it is lost in a fork."""
    monkeypatch.setattr(process, "use_obstore", pytest.fail)
    run(tmp_path / "store", make_clips(3))
    assert in_child(lambda: open_store(str(tmp_path / "store")).mfcc[:].shape)[0] == 3
