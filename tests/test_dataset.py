"""Opening a dataset: one table of clips, the same whatever order the rows have and wherever the bytes are."""

from __future__ import annotations

import os
import pickle
import random

import pyarrow.compute as pc
import pytest
from datasets import change_rows, make_manifest, make_urbansound8k, metadata_of, read_rows, upload

from us8k_batch.catalog.dataset import SEEN_COLUMNS, open_catalog
from us8k_batch.catalog.layouts import CLIP_COLUMNS
from us8k_batch.errors import DatasetError


def test_clips_are_sorted_by_fold_then_id(tmp_path):
    """Fold 10 comes after fold 9, and the order of rows in the CSV does not matter."""
    folder = make_urbansound8k(tmp_path, clips=60, seconds=0.05)
    clips = open_catalog(str(folder)).clips
    keys = list(zip(clips["fold"].to_pylist(), clips["clip_id"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert keys[-1][0] == 10
    change_rows(folder, lambda rows: random.Random(0).sample(rows, len(rows)))
    assert open_catalog(str(folder)).clips.equals(clips)


def test_columns_are_ours_then_the_datasets_then_what_was_seen(tmp_path):
    """So that each part can be told from the table alone."""
    catalog = open_catalog(str(make_manifest(tmp_path, clips=2, columns={"note": str})))
    assert tuple(catalog.clips.column_names) == (*CLIP_COLUMNS, "note", *SEEN_COLUMNS)
    assert catalog.own_columns == ("note",)


@pytest.mark.parametrize("make", [make_urbansound8k, make_manifest])
def test_a_bucket_holds_the_same_dataset(make, tmp_path, s3):
    """All but times and ETags are the same in a folder and in a bucket."""
    dataset = make(tmp_path / "data", clips=7)
    folder = dataset if dataset.is_dir() else dataset.parent
    (folder / read_path(dataset, 3)).unlink()
    upload(folder, f"{s3}/some/where")
    here, there = open_catalog(str(dataset)), open_catalog(f"{s3}/some/where")
    assert here.layout == there.layout
    assert there.root == f"{s3}/some/where"
    differing = ["mtime_ns", "etag"]
    assert here.clips.drop_columns(differing).equals(there.clips.drop_columns(differing))
    assert here.clips["etag"].null_count == 7
    assert there.clips["etag"].null_count == 1


def read_path(dataset, number: int) -> str:
    """Return the path of one clip, by its number in the catalog."""
    return open_catalog(str(dataset)).clips["path"][number].as_py()


def test_csv_and_parquet_manifests_say_the_same(tmp_path):
    """A manifest may be written in either way."""
    one, other = (make_manifest(tmp_path / name, name=f"manifest.{name}", clips=6) for name in ("csv", "parquet"))
    seen = ["mtime_ns"]
    assert open_catalog(str(one)).clips.drop_columns(seen).equals(open_catalog(str(other)).clips.drop_columns(seen))


def test_a_clip_that_cannot_be_there_is_a_row_with_a_reason(tmp_path):
    """It is a fact of the catalog, not an error of opening it."""
    manifest = make_manifest(tmp_path, clips=4)
    first, second, *_ = sorted((tmp_path / "audio").iterdir())
    first.unlink()
    second.unlink()
    os.mkfifo(second)
    clips = open_catalog(str(manifest)).clips.sort_by("clip_id").to_pylist()
    assert [clip["error"] for clip in clips] == ["missing", "not_a_file", None, None]
    assert [clip["stage"] for clip in clips] == ["read", "read", None, None]
    assert [clip["size"] is None for clip in clips] == [True, True, False, False]


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_link_out_of_the_dataset_is_refused_with_its_line(tmp_path, linked):
    """Which clips a dataset has must not depend on what lies beside it."""
    manifest = make_manifest(tmp_path / "data", clips=4)
    audio = manifest.parent / "audio"
    clip = audio / "clip002.ogg"
    if linked == "file":
        clip.rename(tmp_path / "outside.ogg")
        clip.symlink_to(tmp_path / "outside.ogg")
    else:
        audio.rename(tmp_path / "outside")
        audio.symlink_to(tmp_path / "outside")
    line = 4 if linked == "file" else 2
    with pytest.raises(
        DatasetError, match=rf"manifest\.csv, line {line}: path 'audio/clip.*leads out of the dataset"
    ):
        open_catalog(str(manifest))


def test_a_catalog_does_not_change_with_the_dataset(tmp_path):
    """It is a value: opening again shows a touched, a grown, a new and a lost clip."""
    manifest = make_manifest(tmp_path, clips=4, formats=["WAV"])
    before = open_catalog(str(manifest)).clips
    audio = tmp_path / "audio"
    os.utime(audio / "clip000.wav", ns=(1, 1))
    (audio / "clip001.wav").write_bytes(b"longer" * 10_000)
    (audio / "clip002.wav").unlink()
    change_rows(manifest, lambda rows: [*rows, rows[0] | {"path": "audio/clip009.wav"}])
    after = open_catalog(str(manifest)).clips
    assert before.num_rows == 4
    assert after.num_rows == 5
    found = {clip["clip_id"]: clip for clip in after.to_pylist()}
    assert found["audio/clip000.wav"]["mtime_ns"] == 1
    assert found["audio/clip001.wav"]["size"] == 60_000
    assert found["audio/clip002.wav"]["error"] == "missing"
    assert found["audio/clip009.wav"]["error"] == "missing"


def test_moving_a_clip_to_another_fold_keeps_its_id(tmp_path):
    """In UrbanSound8K's layout the path follows the fold, and the clip_id does not."""
    folder = make_urbansound8k(tmp_path, clips=5)
    row = read_rows(folder)[0]
    name, fold = row["slice_file_name"], int(row["fold"])
    change_rows(folder, lambda rows: [rows[0] | {"fold": str(fold + 1)}, *rows[1:]])
    clips = open_catalog(str(folder)).clips
    moved = clips.filter(pc.equal(clips["clip_id"], name)).to_pylist()[0]
    assert (moved["fold"], moved["path"], moved["error"]) == (fold + 1, f"audio/fold{fold + 1}/{name}", "missing")


def test_one_added_column_changes_no_other(tmp_path):
    """An unrelated column in the CSV leaves all others as they were."""
    folder = make_urbansound8k(tmp_path, clips=5)
    before = open_catalog(str(folder)).clips
    change_rows(folder, lambda rows: [row | {"reviewer": "ab"} for row in rows])
    after = open_catalog(str(folder)).clips
    assert after.drop_columns(["reviewer"]).equals(before)
    assert after["reviewer"].to_pylist() == ["ab"] * 5


def test_a_catalog_travels(tmp_path):
    """It survives pickling, as everything that a scheduler may move."""
    catalog = open_catalog(str(make_manifest(tmp_path, clips=2)))
    assert pickle.loads(pickle.dumps(catalog)) == catalog  # noqa: S301


def test_a_file_that_is_not_text_names_the_line(tmp_path):
    """Metadata must be UTF-8; the message says where it is not."""
    folder = make_urbansound8k(tmp_path, clips=2)
    path = metadata_of(folder)
    path.write_bytes(path.read_bytes() + b"caf\xe9.wav,1,0,1,1,1,1,car_horn\n")
    with pytest.raises(DatasetError, match=r"UrbanSound8K\.csv, line 4: byte 0xe9 is not UTF-8"):
        open_catalog(str(folder))


def test_the_official_metadata_opens(real_data):
    """All 8,732 rows, of which only the clips that are there have a size."""
    catalog = open_catalog(str(real_data / "UrbanSound8K"))
    present = len(list((real_data / "UrbanSound8K").glob("audio/fold*/*.wav")))
    assert catalog.clips.num_rows == 8732
    assert catalog.clips["size"].null_count == 8732 - present
    assert pc.count_distinct(catalog.clips["group"]).as_py() == 1297


def test_esc10_opens(real_data):
    """400 clips in 5 folds, none missing."""
    clips = open_catalog(str(real_data / "ESC-10/manifest.csv")).clips
    assert clips.num_rows == 400
    assert clips["error"].null_count == 400
    assert pc.unique(clips["fold"]).to_pylist() == [1, 2, 3, 4, 5]
