"""The table of genuine clips that travels with the package."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog.genuine import load_genuine


def test_it_lists_urbansound8k():
    """8,732 clips, 7,088,643,558 bytes, ten folds, every digest another."""
    genuine = load_genuine()
    assert genuine.schema == pa.schema({"path": pa.string(), "size": pa.int64(), "sha256": pa.binary(32)})
    assert genuine.num_rows == 8732
    assert pc.sum(genuine["size"]).as_py() == 7_088_643_558
    assert len({path.split("/")[1] for path in genuine["path"].to_pylist()}) == 10
    assert pc.count_distinct(genuine["sha256"]).as_py() == 8732


def test_genuine_clips_have_these_bytes(real_data):
    """Size and digest of the clips that are here are those in the table."""
    rows = {row["path"]: row for row in load_genuine().to_pylist()}
    clips = sorted((real_data / "UrbanSound8K").glob("audio/*/*.wav"))
    assert clips
    for clip in clips:
        data = clip.read_bytes()
        row = rows[clip.relative_to(real_data / "UrbanSound8K").as_posix()]
        assert (row["size"], row["sha256"]) == (len(data), hashlib.sha256(data).digest())
