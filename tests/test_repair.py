"""Repair as a whole: real audio, the lease, the right dataset, and what the command says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from datasets import change_rows, make_manifest
from mending import extract_alone
from runs import copy
from stores import files, stamps

from us8k_batch.cli import main
from us8k_batch.errors import LeaseHeldError, RequestError
from us8k_batch.objects import open_objects
from us8k_batch.repair.repair import repair
from us8k_batch.settings import load_settings
from us8k_batch.store.layout import DAMAGED, INFO, POOLED, commit_key, shard_key
from us8k_batch.store.lease import hold, this_process
from us8k_batch.store.reader import open_store
from us8k_batch.store.verify import verify

CLIPS = 10


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a manifest of ten clips."""
    return make_manifest(tmp_path_factory.mktemp("data"), clips=CLIPS, formats=("WAV", "FLAC"))


@pytest.fixture(scope="module")
def base(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract it."""
    store = tmp_path_factory.mktemp("base") / "store"
    extract_alone(dataset, store)
    return store


@pytest.fixture
def store(base: Path, tmp_path: Path) -> Path:
    """Copy the store, to be damaged."""
    return copy(base, tmp_path / "store")


def us8k(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit status and JSON."""
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def test_a_lost_shard_is_computed_again_from_the_audio(base: Path, store: Path, dataset: Path) -> None:
    """Bytes, digests and all: what a decoder child makes of the same audio is what was there."""
    (store / shard_key(0)).unlink()
    (store / commit_key(1)).write_bytes(b"rotten")
    (store / INFO).unlink()
    status, said = us8k("verify", store, "--repair", dataset, "--json")
    assert (status, said["findings"]) == (0, [])
    assert set(said["repair"]["mended"]) == {INFO, commit_key(1), shard_key(0)}
    assert files(store, but=("runs", "lease", DAMAGED)) == files(base, but=("runs", "lease"))
    assert (store / DAMAGED / commit_key(1)).read_bytes() == b"rotten"


def test_clips_that_cannot_be_had_as_they_were_are_extracted_again(
    store: Path, dataset: Path, tmp_path: Path
) -> None:
    """The exit status says that there is something to do, and the next run does just that."""
    own = copy(dataset.parent, tmp_path / "own") / dataset.name
    (store / shard_key(0)).write_bytes(b"")
    (own.parent / "audio/clip001.flac").write_bytes((own.parent / "audio/clip003.flac").read_bytes())
    status, said = us8k("verify", store, "--repair", own, "--json")
    assert status == 1
    lost = said["repair"]["clips"]
    assert (len(lost), "audio/clip001.flac" in lost, said["findings"]) == (4, True, [])
    assert not open_store(str(store)).complete
    summary = extract_alone(own, store)
    assert (summary.extracted, summary.live) == (4, CLIPS)
    assert verify(str(store)).findings == []
    assert us8k("verify", store, "--repair", own, "--json")[0] == 0


def test_a_sound_store_is_left_alone(store: Path, dataset: Path) -> None:
    """No lease is taken, no byte written."""
    before = stamps(store)
    assert us8k("verify", store, "--repair", dataset, "--json")[0] == 0
    assert stamps(store) == before


def test_another_dataset_is_refused(store: Path, dataset: Path, tmp_path: Path) -> None:
    """Otherwise whatever is damaged would be given up because its audio is not there."""
    own = copy(dataset.parent, tmp_path / "own") / dataset.name
    change_rows(own, lambda rows: rows[:4])
    (store / shard_key(0)).unlink()
    before = files(store, but=("lease",))
    with pytest.raises(RequestError, match="6 of 10 live clips are not in"):
        repair(str(store), str(own), load_settings())
    assert files(store, but=("lease",)) == before
    assert repair(str(store), str(own), load_settings(), allow_removal=True).left == []


def test_a_run_at_work_is_not_disturbed(store: Path, dataset: Path) -> None:
    """Whoever holds the store is named; --force takes it over."""
    (store / POOLED).write_bytes(b"")
    with hold(open_objects(str(store)), this_process("another")):
        with pytest.raises(LeaseHeldError, match="run another"):
            repair(str(store), str(dataset), load_settings())
        assert repair(str(store), str(dataset), load_settings(), force=True).left == []


def test_a_description_that_nothing_proves_is_not_made_up(store: Path, dataset: Path) -> None:
    """Without the published table nobody knows the parameters: refused, and nothing is touched."""
    for key in (INFO, POOLED):
        (store / key).unlink()
    before = stamps(store)
    status, said = us8k("verify", store, "--repair", dataset, "--json")
    assert (status, "no store here" in said["error"]) == (2, True)
    assert stamps(store) == before
