"""One interface for a local folder and a bucket."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from datasets import make_manifest, upload

from us8k_batch.catalog.source import open_source
from us8k_batch.errors import ClipError, RequestError


def test_a_bucket_is_only_another_root(tmp_path, s3):
    """The same clips are seen and read in a folder, by its URL, and in a bucket."""
    folder = make_manifest(tmp_path / "ü #%data", clips=5).parent
    paths = [f"audio/{path.name}" for path in sorted((folder / "audio").iterdir())] + ["audio/none.wav"]
    url = folder.as_uri()
    sources = [open_source(root) for root in (str(folder), url, upload(folder, f"{s3}/data"))]
    seen = [source.scan(pa.array(paths)).select(["size", "stage", "error", "detail"]) for source in sources]
    assert seen[0] == seen[1] == seen[2]
    for path in paths[:-1]:
        data = (folder / path).read_bytes()
        assert {source.read(path, 1 << 20) for source in sources} == {data}
        assert {source.read_head(path, 10) for source in sources} == {(data[:10], len(data))}
    for source in sources:
        with pytest.raises(ClipError) as caught:
            source.read(paths[-1], 10)
        assert (caught.value.stage, caught.value.error) == ("read", "missing")
        assert str(caught.value) == "audio/none.wav: no such file"


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_a_clip_is_read_where_it_is_wanted(tmp_path, s3, size):
    """Into memory that the caller provides, which may be longer."""
    data = random.Random(size).randbytes(size)
    (tmp_path / "data/audio").mkdir(parents=True)
    (tmp_path / "data/audio/a.wav").write_bytes(data)
    place = memoryview(bytearray(100_000))
    for root in (str(tmp_path / "data"), upload(tmp_path / "data", f"{s3}/data")):
        place[:] = bytes(len(place))
        read = open_source(root).read_into("audio/a.wav", 1 << 20, lambda _: place)
        assert read.obj is place.obj
        assert (read, place[:size]) == (data, data)


def test_a_source_is_opened_again_from_its_root(tmp_path, monkeypatch, s3):
    """A worker in another working directory, or on another machine, gets the same source from the string."""
    folder = make_manifest(tmp_path / "data", clips=1).parent
    monkeypatch.chdir(tmp_path)
    for root in ("data", str(folder), upload(folder, s3)):
        source = open_source(root)
        monkeypatch.chdir("/")
        assert open_source(source.root).read("audio/clip000.wav", 1 << 20)
        monkeypatch.chdir(tmp_path)


def test_other_schemes_are_refused():
    """The message says which ones there are."""
    with pytest.raises(RequestError, match="expected a local path, file://, s3:// or gs://"):
        open_source("https://example.org/data")
