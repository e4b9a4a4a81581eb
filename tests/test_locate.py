"""What a person means by a dataset."""

from __future__ import annotations

import os
import shutil

import pytest
from datasets import make_manifest, make_urbansound8k, upload

from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.catalog.locate import locate
from us8k_batch.errors import DatasetError


@pytest.fixture
def both(tmp_path):
    """Make a dataset in each layout; return their folders."""
    return make_urbansound8k(tmp_path / "us8k", clips=3), make_manifest(tmp_path / "other", clips=3).parent


def test_a_folder_is_known_by_what_it_holds(both):
    """UrbanSound8K's metadata or a manifest, with or without a slash at the end, as a path or URL."""
    for folder, layout in zip(both, ("urbansound8k", "manifest"), strict=True):
        for spelled in (str(folder), f"{folder}/", folder.as_uri()):
            place = locate(spelled)
            assert (place.url, place.root, place.layout) == (str(folder), str(folder), layout)
            assert place.metadata.table.num_rows == 3


@pytest.mark.parametrize("name", ["manifest.csv", "List.CSV", "clips.parquet"])
def test_a_manifest_may_be_named_itself(tmp_path, name):
    """Its paths are relative to its folder."""
    manifest = make_manifest(tmp_path, name=name, clips=3)
    place = locate(str(manifest))
    assert (place.url, place.root, place.layout) == (str(manifest), str(tmp_path), "manifest")
    assert place.metadata.table.num_rows == 3


def test_a_bucket_is_looked_through_like_a_folder(both, s3):
    """Either layout, or the manifest itself, also at the very top of the bucket."""
    upload(both[0], f"{s3}/us8k")
    upload(both[1], s3)
    assert locate(f"{s3}/us8k/").layout == "urbansound8k"
    assert (locate(s3).layout, locate(s3).root) == ("manifest", s3)
    assert (locate(f"{s3}/manifest.csv").layout, locate(f"{s3}/manifest.csv").root) == ("manifest", s3)
    with pytest.raises(DatasetError, match=r"none\.csv: no such file, expected a manifest"):
        locate(f"{s3}/none.csv")
    with pytest.raises(DatasetError, match=r"elsewhere: no dataset: expected metadata/UrbanSound8K\.csv"):
        locate(f"{s3}/elsewhere")


def test_urbansound8k_wins_over_a_manifest_beside_it(both):
    """The layout with the official metadata is the more definite one."""
    shutil.copy(both[1] / "manifest.csv", both[0])
    assert locate(str(both[0])).layout == "urbansound8k"


@pytest.mark.parametrize("inner", ["", "audio"])
def test_urbansound8k_may_lie_beside_its_folds(tmp_path, s3, inner):
    """As its most used mirror unpacks it, on a disk and in a bucket; also with the folds in audio."""
    made = make_urbansound8k(tmp_path / "us8k", clips=3)
    (made / "metadata/UrbanSound8K.csv").rename(made / "UrbanSound8K.csv")
    if not inner:
        for folder in list((made / "audio").iterdir()):
            folder.rename(made / folder.name)
        (made / "audio").rmdir()
    for url in (str(made), upload(made, f"{s3}/mirror")):
        clips = open_catalog(url).clips
        assert clips["error"].null_count == 3
        assert all(path.startswith(f"{inner}/fold" if inner else "fold") for path in clips["path"].to_pylist())


def test_what_was_found_in_place_of_a_dataset_is_said(both, s3):
    """A folder too high, a manifest of another name: the message says what to give."""
    parent = both[0].parent
    with pytest.raises(DatasetError, match=r"found other/, us8k/; a dataset is in .*/other$"):
        locate(str(parent))
    (both[1] / "manifest.csv").rename(both[1] / "esc.csv")
    with pytest.raises(DatasetError, match=r"found audio/, esc\.csv; if it is a manifest, .*/other/esc\.csv$"):
        locate(str(both[1]))
    upload(both[1], f"{s3}/other")
    with pytest.raises(DatasetError, match=r"found audio/, esc\.csv; if it is a manifest, .*/other/esc\.csv$"):
        locate(f"{s3}/other")


def test_two_manifests_are_one_too_many(tmp_path):
    """Which one is meant, only a person can say."""
    make_manifest(tmp_path, clips=3)
    make_manifest(tmp_path, name="manifest.parquet", clips=3)
    with pytest.raises(DatasetError, match=r"holds manifest\.csv and manifest\.parquet; expected one"):
        locate(str(tmp_path))
    assert locate(str(tmp_path / "manifest.csv")).layout == "manifest"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such file or folder"),
        ("nowhere.csv", "no such file, expected a manifest"),
        ("notes.txt", "expected a folder, or a manifest named .csv or .parquet"),
        ("empty", "no dataset: expected metadata/UrbanSound8K.csv or manifest.csv or manifest.parquet in it"),
        ("pipe.csv", "expected a regular file"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path, name, message):
    """Nothing there, something else, an empty folder, a pipe that would block."""
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DatasetError, match=message):
        locate(str(tmp_path / name))


def test_a_folder_named_like_a_manifest_is_a_folder(tmp_path):
    """The name alone does not decide."""
    assert locate(str(make_manifest(tmp_path / "data.csv", clips=2).parent)).root.endswith("data.csv")
