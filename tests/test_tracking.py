"""Trackers: the real packages write real files without a network, and none of them can harm a run."""

from __future__ import annotations

import json
import socket
import sqlite3
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from audio_files import write_audio
from click.testing import CliRunner
from feature_stores import make_features_store

from us8k_batch.cli import main
from us8k_batch.errors import MissingExtraError, RequestError
from us8k_batch.training import tracking
from us8k_batch.training.progress import Lines
from us8k_batch.training.rundir import load_run
from us8k_batch.training.tracking import ADAPTERS, Adapter, refuse_unknown, track_run, track_sounds
from us8k_batch.training.train import TrainOptions, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once."""
    folder = tmp_path_factory.mktemp("tracking")
    store = str(make_features_store(folder / "store"))
    options = TrainOptions(store=store, model="dummy", features="mean", out=str(folder / "run"), jobs=1)
    return train(options, Lines(lambda _: None)).path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Forbid the network; return whoever tried."""
    tried: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        tried.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def sound(tmp_path: Path) -> dict[str, dict[str, float]]:
    """Make a sound that a run was asked about."""
    return {str(write_audio(tmp_path / "bark.wav")): {"dog": 0.75}}


def test_mlflow(run: Path, calls: list[Any], sound: dict[str, dict[str, float]]) -> None:
    """SQLite holds parameters and metrics; figures, models and sounds lie beside it."""
    assert track_run(run, ["mlflow"]) == track_sounds(run, ["mlflow"], sound) == calls == []
    with sqlite3.connect(run.parent / "mlflow.db") as database:
        parameters = dict(database.execute("select key, value from params").fetchall())
        metrics = database.execute("select key, value, step from metrics").fetchall()
        status = {row[0] for row in database.execute("select status from runs")}
    assert parameters["model"] == "dummy"
    assert parameters["config.n_mfcc"] == "6"
    scores = load_run(str(run)).document["scores"]
    assert ("accuracy_mean", scores["accuracy_mean"], 0) in metrics
    assert {("fold_accuracy", value, i) for i, value in enumerate(scores["folds"].values(), 1)} <= set(metrics)
    assert ("probability/dog", 0.75, 0) in metrics
    assert status == {"FINISHED"}
    files = {path.name for path in (run.parent / "mlflow-files").rglob("*") if path.is_file()}
    assert {"confusion.png", "folds-1.skops", "run.json", "report.html", "bark.wav"} <= files


def test_tensorboard(run: Path, calls: list[Any], sound: dict[str, dict[str, float]]) -> None:
    """Event files hold scalars, the figures and the sound."""
    assert track_run(run, ["tensorboard"]) == track_sounds(run, ["tensorboard"], sound) == calls == []
    events = read_events(run.parent / "tensorboard" / "run")
    assert events["accuracy_mean"] == {0: pytest.approx(load_run(str(run)).document["scores"]["accuracy_mean"])}
    assert set(events["fold_accuracy"]) == {1, 2, 3}
    assert "confusion" in events
    assert "bark.wav" in read_events(run.parent / "tensorboard" / "run-predict")


def test_comet(run: Path, calls: list[Any], sound: dict[str, dict[str, float]]) -> None:
    """An archive holds messages and files, ready for an upload."""
    assert track_run(run, ["comet"]) == track_sounds(run, ["comet"], sound) == calls == []
    texts, names = "", set()
    for archive in (run.parent / "comet").glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            names |= set(opened.namelist())
            texts += opened.read("messages.json").decode()
    assert len(names) > 5
    for part in ("accuracy_mean", "fold_accuracy", "parameters.strategy", "confusion", "folds-1.skops", "bark.wav"):
        assert part in texts


def test_curves_have_a_step_for_each_epoch() -> None:
    """Lines with an epoch become curves by split; what diverged is left out."""
    line = {"protocol": "folds", "split": "1", "epoch": 2, "train_loss": 0.5, "validation_loss": None}
    summary = {"protocol": "folds", "split": "1", "accuracy": 1.0}
    curves = list(tracking._curves([json.dumps(line), json.dumps(summary)]))
    assert curves == [(2, {"folds/1/train_loss": 0.5})]


@pytest.mark.parametrize("broken", ["import", "open", "image", "close"])
def test_a_tracker_that_fails_never_fails_a_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Whatever goes wrong in a tracker, ``train --track`` ends well, with a whole run and a warning."""
    module = tmp_path / f"broken_{broken}.py"
    module.write_text(BROKEN.replace("BROKEN", repr(broken)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(ADAPTERS, "broken", Adapter(module.stem, "json", "none"))
    out = tmp_path / "run"
    store = str(run.parent / "store")
    given = ["train", store, "--model", "dummy", "--features", "mean", "--out", str(out), "--jobs", "1", "--json"]
    result = CliRunner().invoke(main, [*given, "--track", "broken"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout.splitlines()[-1])
    assert [text.partition(":")[0] for text in told["tracking"]] == ["tracker broken failed"]
    assert load_run(str(out)).document["model"] == "dummy"


def test_what_cannot_be_used_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown tracker, or one that is not installed, is a bad request that names what to do."""
    with pytest.raises(RequestError, match="did you mean mlflow"):
        refuse_unknown(["mlfow"])
    monkeypatch.setitem(ADAPTERS, "comet", Adapter("nowhere", "not_installed_at_all", "comet"))
    with pytest.raises(MissingExtraError, match=r"not_installed_at_all, which is not installed.*\[comet\]"):
        refuse_unknown(["comet"])


def test_training_imports_no_tracker() -> None:
    """Asking which trackers there are imports none of them."""
    program = (
        "import sys; from us8k_batch.training.tracking import refuse_unknown; refuse_unknown(['mlflow', 'comet'])"
    )
    check = f"{program}; print([m for m in ('mlflow', 'comet_ml', 'tensorboardX') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, check=True).stdout == b"[]\n"


BROKEN = '''
"""A tracker that fails where it is told to."""

if BROKEN == "import":
    raise ImportError("half installed")


def open_tracker(folder, run):
    if BROKEN == "open":
        raise OSError("the disk is full")
    return Tracker()


class Tracker:
    def __getattr__(self, name):
        def take(*_):
            if name == BROKEN:
                raise RuntimeError("a bug")
        return take
'''


def read_events(folder: Path) -> dict[str, dict[int, float]]:
    """Read the values in event files, by tag and step."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for file in folder.glob("events*"):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found
