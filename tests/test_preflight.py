"""What makes a worker fit for a run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import write_tone

import us8k_batch
from us8k_batch.config import FeatureConfig
from us8k_batch.features.engine import numeric_versions
from us8k_batch.objects import open_objects
from us8k_batch.preflight import Check, inspect_worker
from us8k_batch.store.layout import create_info, new_info

CONFIG = FeatureConfig(max_seconds=1.0)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Make a dataset of two clips and a store, and the check of a run on them."""
    for name in ("a.wav", "b.wav"):
        write_tone(tmp_path / "data" / name)
    store = tmp_path / "store"
    info = create_info(open_objects(str(store)), new_info(CONFIG))
    return Check(
        versions={"us8k_batch": us8k_batch.__version__, **numeric_versions(CONFIG, "auto")},
        config=CONFIG,
        engine="auto",
        root=str(tmp_path / "data"),
        samples=("a.wav", "b.wav"),
        store=str(store),
        info_sha256=hashlib.sha256(info.to_bytes()).hexdigest(),
    )


def test_a_worker_that_has_and_sees_the_same_is_fit_and_leaves_nothing(check: Check, tmp_path: Path) -> None:
    """No problem, and no object of the store is more than before."""
    before = sorted(tmp_path.rglob("*.*"))
    assert inspect_worker(check) == ""
    assert sorted(tmp_path.rglob("*.*")) == before


@pytest.mark.parametrize("package", ["us8k_batch", "numpy", "soxr", "libsndfile", "engine"])
def test_another_version_is_named_with_both_and_with_what_to_do(check: Check, package: str) -> None:
    """What decides a number must be the client's: our own version and every library's."""
    problem = inspect_worker(replace(check, versions={**check.versions, package: "0.0.1"}))
    assert f"{package} {check.versions[package]} (client: 0.0.1)" in problem
    assert problem.endswith("install the same lock everywhere")


def test_a_package_that_is_missing_is_named(check: Check) -> None:
    """The client computed with something that the worker does not have."""
    problem = inspect_worker(replace(check, versions={**check.versions, "magic": "1.0"}))
    assert "magic is missing (client: 1.0)" in problem


def test_a_dataset_that_is_not_there_is_told_with_its_path(check: Check) -> None:
    """A worker on a host without the mount would record every clip as missing."""
    problem = inspect_worker(replace(check, root="/no/such/folder"))
    assert problem.startswith("does not see the dataset /no/such/folder (b.wav: no such file")
    assert problem.endswith("mount it at the same path")


def test_one_clip_that_vanished_meanwhile_is_no_reason_to_refuse(check: Check, tmp_path: Path) -> None:
    """Any of the samples shows that the dataset is there."""
    (tmp_path / "data/a.wav").unlink()
    assert inspect_worker(check) == ""


def test_a_dataset_without_any_readable_clip_needs_no_proof(check: Check) -> None:
    """The client sees none either; there is nothing to mount."""
    assert inspect_worker(replace(check, samples=())) == ""


def test_a_store_that_is_not_there_is_told_with_its_path(check: Check, tmp_path: Path) -> None:
    """A worker without the mount would write its shards where nobody finds them."""
    problem = inspect_worker(replace(check, store=str(tmp_path / "elsewhere")))
    assert problem.startswith(f"does not see the store {tmp_path / 'elsewhere'}")
    assert not (tmp_path / "elsewhere").exists()


def test_another_store_at_the_same_path_is_refused(check: Check, tmp_path: Path) -> None:
    """Local disks of two hosts may hold different stores under one path."""
    create_info(open_objects(str(tmp_path / "other")), new_info(replace(CONFIG, n_mfcc=20)))
    problem = inspect_worker(replace(check, store=str(tmp_path / "other")))
    assert problem.startswith("sees another store at")


def test_a_store_that_is_still_to_be_made_only_has_to_be_writable(check: Check, tmp_path: Path) -> None:
    """Before the first plan there is nothing to compare."""
    assert inspect_worker(replace(check, store=str(tmp_path / "new"), info_sha256=None)) == ""


def test_a_store_that_cannot_be_written_is_told(check: Check, tmp_path: Path) -> None:
    """A file in the way, a full or a read-only disk: found before the first task, not by it."""
    (tmp_path / "store/lease").write_text("in the way")
    assert "lease" in inspect_worker(check)
