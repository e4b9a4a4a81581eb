"""Two runs by force, step by step in any order: of one dataset, or of two."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import make_manifest, read_rows
from failpoints import RunServer
from stores import files
from test_two_runs import changed, dataset, folder, in_turns, server, store  # noqa: F401  # fixtures

import us8k_batch
from us8k_batch.store.verify import verify

SEEDS = 20
Record = Callable[[str, object], None]


@pytest.mark.parametrize("accident", ["none", "one is killed"])
def test_two_runs_lose_and_double_nothing(
    accident: str,
    server: RunServer,  # noqa: F811
    store: Path,  # noqa: F811
    changed: Path,  # noqa: F811
    tmp_path: Path,
    record_property: Record,
) -> None:
    """Twenty orders, each different: an undisturbed run's store, byte for byte, at the latest after the next run."""
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(store, undisturbed)
    assert server.run(changed, undisturbed).status == 0
    for seed in range(100, 100 + SEEDS):
        ours = tmp_path / f"{seed}"
        shutil.copytree(store, ours)
        runs = [server.begin(changed, ours, force=True, asking=True) for _ in range(2)]
        ended = in_turns(runs, seed, kill=None if accident == "none" else random.Random(seed).randrange(150))
        assert max(one.status for one in ended) == 0, ended
        if accident != "none":
            assert server.run(changed, ours).status == 0
        assert files(ours) == files(undisturbed), seed
        assert verify(str(ours)).findings == []
    record_property("figure", f"{SEEDS} orders, {accident}: lost 0, doubled 0, equal")


def test_two_datasets_in_one_store(
    server: RunServer,  # noqa: F811
    dataset: Path,  # noqa: F811
    store: Path,  # noqa: F811
    tmp_path: Path,
    record_property: Record,
) -> None:
    """By force and with --allow-removal the last publication wins; what was computed of the other is not lost."""
    other = make_manifest(tmp_path / "other", clips=5, seconds=0.15, formats=("FLAC", "WAV"))
    names = {path: {row["path"] for row in read_rows(path)} for path in (dataset, other)}
    for seed in range(SEEDS):
        ours = tmp_path / f"{seed}"
        shutil.copytree(store, ours)
        runs = [server.begin(manifest, ours, force=True, asking=True) for manifest in (dataset, other)]
        ended = in_turns(runs, seed)
        assert max(one.status for one in ended) <= 0, ended
        assert verify(str(ours)).findings == []
        published = us8k_batch.open_store(str(ours))
        assert published.mfcc[:].shape[0] == len(published)
        for manifest in (other, dataset, other):
            again = server.run(manifest, ours)
            assert (again.status, again.decoded) == (0, 0), "what was computed is lost"
            now = us8k_batch.open_store(str(ours))
            assert set(now.pooled["clip_id"]) == names[manifest]
            assert now.complete
    record_property("figure", f"{SEEDS} orders of two datasets: the last wins, 0 clips computed again")
