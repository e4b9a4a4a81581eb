"""The commands train, compare and pool, as a person or a program calls them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from feature_stores import make_features_store

from us8k_batch.cli import main


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a store of 60 clips."""
    return str(make_features_store(tmp_path_factory.mktemp("cli") / "store"))


def us8k(*arguments: str) -> Result:
    """Call the command."""
    return CliRunner().invoke(main, list(arguments))


def test_train_compare_and_pool_print_one_object_last(store: str, tmp_path: Path) -> None:
    """With --json the last line of stdout is the result, and everything for a person is on stderr."""
    run = str(tmp_path / "run")
    trained = us8k("train", store, "--model", "logistic", "--features", "mean", "--out", run, "--json", "--jobs", "1")
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["run"] == run
    assert "accuracy" in trained.stderr
    compared = us8k("compare", run, "--json")
    assert json.loads(compared.stdout)["rows"][0]["model"] == "logistic"
    pooled = us8k("pool", store, str(tmp_path / "pooled.parquet"), "--statistics", "mean+std,p10", "--json")
    assert json.loads(pooled.stdout)["columns"] == 18


def test_tune_says_what_was_chosen_for_each_fold(store: str, tmp_path: Path) -> None:
    """A person reads three digits of what was searched; a program gets all parameters of each fold."""
    asked = ("--model", "logistic", "--features", "mean", "--trials", "2", "--jobs", "1")
    done = us8k("tune", store, *asked, "--out", str(tmp_path / "run"), "--json")
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["chosen"]["1"]) == {"C", "max_iter"}
    assert re.search(r"fold 1: C=[\d.e-]{1,8} \(trial [01], [\d.]+ % on the other folds\)", done.stderr)


def test_without_a_name_the_run_gets_the_next_free_one(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default run never writes over another one."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert us8k("train", store, "--model", "dummy", "--features", "mean").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "dummy-mean-folds-001", "dummy-mean-folds-002",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet"], "model 'resnet' is unknown"),
        (["--features", "none"], "feature set"),
        (["--set", "max_depht=3"], "has no parameter 'max_depht'"),
        (["--set", "max_depth"], "expected key=value"),
    ],
)
def test_a_bad_request_is_exit_status_2(store: str, tmp_path: Path, arguments: list[str], message: str) -> None:
    """One line says what was wrong, the object says it too, and there is no run."""
    done = us8k("train", store, "--out", str(tmp_path / "run"), "--json", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert json.loads(done.stdout)["exit_status"] == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "STORE", "--model", "dummy", "--out", "PLACE/run"],
        ["tune", "STORE", "--model", "logistic", "--trials", "1", "--out", "PLACE/run"],
        ["experiment", "GRID", "STORE", "--out", "PLACE/grid"],
        ["report", "STORE", "--out", "PLACE/page.html"],
        ["pool", "STORE", "PLACE/pooled.parquet"],
        ["fetch", "PLACE/data", "--accept-licence"],
        ["fetch", "PLACE/data", "--accept-licence", "--subset", "1"],
    ],
)
def test_a_place_that_cannot_be_written_is_a_bad_request(store: str, tmp_path: Path, arguments: list[str]) -> None:
    """A read-only file system: exit status 2, and a sentence that names the place and what to do instead."""
    lists = {"models": ["dummy"], "features": ["mean"], "seeds": [0], "protocols": ["folds"]}
    (tmp_path / "grid.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in lists.items()))
    known = {"STORE": store, "GRID": str(tmp_path / "grid.toml"), "PLACE": "/proc/new"}
    for name, value in known.items():
        arguments = [argument.replace(name, value) for argument in arguments]
    done = us8k(*arguments)
    assert done.exit_code == 2, done.output
    assert "/proc/new" in done.stderr
    assert "cannot be written (" in done.stderr
    assert "choose another" in done.stderr or "expected a folder that exists" in done.stderr


@pytest.mark.parametrize("model", ["svm", "cnn"])
def test_a_run_that_fails_leaves_no_folders(tmp_path: Path, model: str) -> None:
    """With --out in folders that are not there: none of them, nor what is kept beside runs."""
    store = make_features_store(tmp_path / "store")
    for shard in (store / "mfcc.zarr" / "mfcc" / "c").rglob("0"):
        if shard.is_file():
            shard.write_bytes(shard.read_bytes()[:-40])
    done = us8k("train", str(store), "--model", model, "--out", str(tmp_path / "a" / "b" / "run"))
    assert done.exit_code == 1, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_run_lets_in_whom_umask_lets_in(store: str, tmp_path: Path) -> None:
    """Its folders, files and models, and what is kept beside it, are as private as its user's other files."""
    before = os.umask(0o077)
    try:
        assert us8k("train", store, "--model", "logistic", "--out", str(tmp_path / "a" / "run")).exit_code == 0
    finally:
        os.umask(before)
    assert us8k("train", store, "--model", "logistic", "--out", str(tmp_path / "b" / "run")).exit_code == 0
    for folder, others in (("a", 0), ("b", 0o044)):
        modes = {path.stat().st_mode & 0o044 for path in [tmp_path / folder, *(tmp_path / folder).rglob("*")]}
        assert modes == {others}
