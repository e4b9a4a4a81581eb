"""Experiments: each cell once, whatever is killed or started twice; then one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from feature_stores import make_catalog, make_features_store, publish_again
from killing import PATIENCE, kill_when, start

from us8k_batch.errors import RequestError
from us8k_batch.training.experiment import Done, experiment
from us8k_batch.training.grid import read_grid
from us8k_batch.training.progress import Lines
from us8k_batch.training.rundir import load_run

GRID = """
models = ["logistic", "knn"]
features = ["mean"]
seeds = [0, 1]
[parameters.knn]
n_neighbors = 3
"""
CELLS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a store of 60 clips in three folds."""
    return str(make_features_store(tmp_path_factory.mktemp("experiment") / "store"))


def write(folder: Path, text: str = GRID) -> str:
    """Write a grid."""
    file = folder / "grid.toml"
    file.write_text(text)
    return str(file)


def run(grid: str, store: str, out: Path) -> Done:
    """Run an experiment in this process."""
    return experiment(grid, store, str(out), Lines(lambda _: None), jobs=1)


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Return what tells whether a cell's run was written anew."""
    found = {path.parent.name: path.stat() for path in out.glob("[!.]*/run.json")}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def test_a_killed_experiment_goes_on_and_repeats_nothing(store: str, tmp_path: Path) -> None:
    """After a SIGKILL the runs that were finished stay as they are, and the others are made; no remains are left."""
    grid, out = write(tmp_path), tmp_path / "out"
    process = start("experiment", grid, store, "--out", out, "--jobs", 1)
    kill_when(lambda: len(stamps(out)) >= 1, process)
    before = stamps(out)
    assert 1 <= len(before) < CELLS
    done = run(grid, store, out)
    after = stamps(out)
    assert {name: after[name] for name in before} == before
    assert set(done.found) == set(before)
    assert set(done.made) == set(after) - set(before)
    assert len(after) == CELLS
    assert not list(out.glob(".*-seed*"))
    again = run(grid, store, out)
    assert (again.made, len(again.found), again.exit_status) == ((), CELLS, 0)
    assert stamps(out) == after


def test_two_at_once_share_the_cells(store: str, tmp_path: Path) -> None:
    """Two processes make every run once between them, and both end with the whole table."""
    grid, out = write(tmp_path), tmp_path / "out"
    process = start("experiment", grid, store, "--out", out, "--jobs", 1, "--json")
    done = run(grid, store, out)
    told, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    theirs = json.loads(told.splitlines()[-1])
    assert sorted([*done.made, *theirs["made"]]) == sorted(cell.name for cell in read_grid(grid))
    assert done.comparison is not None
    assert len(done.comparison.lines) == CELLS
    assert sum(not row["published"] for row in theirs["rows"]) == CELLS


def test_runs_are_those_of_train(store: str, tmp_path: Path) -> None:
    """Every cell is a run directory with what the grid asks for, and the table is best first."""
    out = tmp_path / "out"
    grid = write(tmp_path, 'models = ["knn"]\nfeatures = ["mean"]\nprotocols = ["folds", "grouped"]\nseeds = [3]')
    done = run(grid, store, out)
    for cell in read_grid(grid):
        document = load_run(str(out / cell.name)).document
        assert (document["protocol"], document["seed"]) == (cell.protocol, 3)
        assert document["parameters"] == dict(cell.parameters)
    assert done.comparison is not None
    accuracies = [line.accuracy for line in done.comparison.lines]
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_cell_that_fails_fails_alone(store: str, tmp_path: Path) -> None:
    """The others are made, the exit status says so, and the same command tries it again."""
    out = tmp_path / "out"
    out.mkdir()
    blocked = out / "knn-mean-folds-seed0"
    blocked.symlink_to("nowhere")
    done = run(write(tmp_path, 'models = ["knn"]\nfeatures = ["mean"]\nseeds = [0, 1]'), store, out)
    assert done.exit_status == 1
    assert list(done.failed) == [blocked.name]
    assert done.made == ("knn-mean-folds-seed1",)
    blocked.unlink()
    assert run(write(tmp_path, 'models = ["knn"]\nfeatures = ["mean"]\nseeds = [0, 1]'), store, out).failed == {}


def test_other_runs_are_not_taken_for_cells(store: str, tmp_path: Path) -> None:
    """With other parameters, or after the store was published anew, the folder is refused, naming the cell."""
    out = tmp_path / "out"
    mine = make_features_store(tmp_path / "store")
    grid = 'models = ["knn"]\nfeatures = ["mean"]\n'
    run(write(tmp_path, grid), str(mine), out)
    with pytest.raises(RequestError, match="knn-mean-folds-seed0: is there already, with another n_neighbors"):
        run(write(tmp_path, grid + "[parameters.knn]\nn_neighbors = 3"), str(mine), out)
    publish_again(mine, make_catalog(58, 3, 3))
    with pytest.raises(RequestError, match="another publication"):
        run(write(tmp_path, grid), str(mine), out)


def test_a_protocol_that_cannot_be_had_is_refused_before_any_run(tmp_path: Path) -> None:
    """One fold only: nothing is written."""
    single = make_features_store(tmp_path / "store", folds=1)
    with pytest.raises(RequestError, match="every clip is in fold 1"):
        run(write(tmp_path, 'models = ["knn"]\nfeatures = ["mean"]'), str(single), tmp_path / "out")
    assert not (tmp_path / "out").exists()
