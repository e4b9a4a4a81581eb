"""A store and its dataset are apart."""

from __future__ import annotations

import shutil

import pytest
from datasets import make_manifest, make_urbansound8k, upload

import us8k_batch
from us8k_batch.errors import RequestError


def refusal(dataset: object, store: object) -> str:
    """Return why a store cannot be made there."""
    with pytest.raises(RequestError) as caught:
        us8k_batch.plan(str(dataset), str(store))
    return str(caught.value)


def test_a_store_in_its_dataset_is_refused_and_the_reverse(tmp_path):
    """The same folder, one in the other, by links and URLs too; nothing is written."""
    dataset = make_urbansound8k(tmp_path / "a/us8k", clips=2)
    (tmp_path / "link").symlink_to(dataset)
    before = sorted(tmp_path.rglob("*"))
    for same in (dataset, f"{dataset}/", dataset.as_uri(), tmp_path / "link", dataset / "audio/.."):
        assert "is the dataset itself" in refusal(dataset, same)
        assert "is the dataset itself" in refusal(same, dataset)
    for inside in (dataset / "features", (dataset / "features").as_uri(), tmp_path / "link/new/deep"):
        assert "lies in its dataset" in refusal(dataset, inside)
    for around in (tmp_path, tmp_path / "a"):
        assert "lies in this store" in refusal(tmp_path / "link", around)
    assert sorted(tmp_path.rglob("*")) == before


def test_beside_a_manifest_a_store_may_stand(tmp_path):
    """Only not among the clips, nor in place of the folder or the manifest."""
    manifest = make_manifest(tmp_path, clips=2)
    assert us8k_batch.plan(str(manifest), str(tmp_path / "features")).values["planned"]["new"] == 2
    assert "lies in its dataset" in refusal(manifest, tmp_path / "audio/features")
    assert "is the dataset itself" in refusal(manifest, tmp_path)
    assert "is the dataset itself" in refusal(manifest, manifest)
    assert "lies in its dataset" in refusal(tmp_path, tmp_path / "features")
    shutil.copytree(tmp_path / "audio", tmp_path / "more/audio")
    assert us8k_batch.plan(str(tmp_path), f"{tmp_path}-features").values["planned"]["new"] == 2


def test_keys_of_a_bucket_are_apart_too(tmp_path, s3):
    """A prefix that only begins alike is another one."""
    url = upload(make_urbansound8k(tmp_path / "us8k", clips=2), f"{s3}/us8k")
    assert "is the dataset itself" in refusal(url, f"{url}/")
    assert "lies in its dataset" in refusal(url, f"{url}//features")
    assert "lies in this store" in refusal(url, s3)
    assert us8k_batch.plan(url, f"{url}-features").values["planned"]["new"] == 2
