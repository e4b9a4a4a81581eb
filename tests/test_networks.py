from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stores
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.errors import DamageError, DivergedError, MissingExtraError, RequestError
from us8k_batch.training.evaluate import Task, fit_model, fit_split
from us8k_batch.training.frames import frames_of, load_frames
from us8k_batch.training.models import get_model, with_parameters
from us8k_batch.training.networks import article_network, shifted_and_mixed
from us8k_batch.training.neural import _hold_out
from us8k_batch.training.persist import load_model, save_model
from us8k_batch.training.progress import Lines
from us8k_batch.training.splits import Split

pytestmark = [
    pytest.mark.skipif(
        find_spec("keras") is None or find_spec("jax") is None, reason="the nn extra is not installed"
    ),
    # Keras copies JAX's arrays as numpy 1 did.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

N, WIDTH = 48, 30
SPLIT = Split("1", np.arange(32), np.arange(32, N))
SMALL: dict[str, dict[str, Any]] = {
    "cnn": {"filters": [4, 4], "kernel": 3, "epochs": 2, "batch_size": 16},
    "article-mlp": {"units": 8, "epochs": 2, "batch_size": 16},
}


def make_task(name: str, **parameters: Any) -> Task:
    """Make clips of three classes, two to a recording, and a small network to learn them."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    values = rng.normal(0, 1, (N, 5, WIDTH)).astype(np.float32) + y[:, np.newaxis, np.newaxis]
    spec = get_model(name)
    return Task(
        spec=spec,
        parameters=with_parameters(spec, SMALL[name] | parameters),
        seed=0,
        features=frames_of(values, rng.integers(8, WIDTH + 1, N)) if name == "cnn" else values.mean(axis=2),
        y=y,
        groups=np.arange(N) // 2,
        models=None,
    )


@pytest.fixture(scope="module", autouse=True)
def quick_compiler() -> Iterator[None]:
    """Let XLA compile in half the time; what it compiles is small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
        yield


@pytest.fixture(scope="module")
def cnn() -> tuple[Task, Any]:
    """Return a task, and the convolutional network that learnt from the training clips of its split."""
    task = make_task("cnn")
    return task, fit_model(task, SPLIT)


@pytest.fixture(scope="module")
def article_mlp() -> tuple[Task, Any]:
    """Return the same for the tutorial's network."""
    task = make_task("article-mlp")
    return task, fit_model(task, SPLIT)


@pytest.fixture(params=["cnn", "article_mlp"])
def fitted(request) -> tuple[Task, Any]:
    """Return each of them in turn."""
    return request.getfixturevalue(request.param)


def test_the_same_seed_gives_the_same_numbers_and_the_test_clips_have_no_say(fitted):
    """Another fit, with poison for test clips and other labels on them, says and notes the same to the last bit."""
    task, model = fitted
    poisoned = np.array(getattr(task.features, "values", task.features))
    poisoned[SPLIT.test] = np.nan
    features = replace(task.features, values=poisoned) if task.spec.takes == "frames" else poisoned
    y = np.where(np.isin(np.arange(N), SPLIT.test), 2 - task.y, task.y)
    again = fit_model(replace(task, features=features, y=y), SPLIT)
    assert again.history_ == model.history_
    np.testing.assert_array_equal(again.predict_proba(task.features), model.predict_proba(task.features))


def test_another_seed_gives_other_numbers(cnn):
    """The seed reaches the weights before anything is learnt."""
    task, model = cnn
    other = fit_model(replace(task, seed=1), SPLIT)
    assert other.history_ != model.history_


def test_probabilities_are_of_each_row_whoever_it_is_asked_with(fitted):
    """Rows sum to 1, and asking for one clip alone gives what asking for all does."""
    task, model = fitted
    said = model.predict_proba(task.features)
    assert said.shape == (N, 3)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(task.features[40:41]), said[40:41], rtol=1e-4, atol=1e-6)


def test_every_epoch_is_noted(fitted):
    """Loss and accuracy of each epoch; no validation where nothing is held out."""
    _, model = fitted
    assert [set(line) for line in model.history_] == [{"epoch", "train_loss", "train_accuracy"}] * 2


def test_watching_the_test_clips_changes_nothing(fitted):
    """Each epoch is also told of clips that are not learnt from, and the network is the same to the last bit."""
    task, model = fitted
    watching = fit_model(task, SPLIT, (task.features[SPLIT.test], task.y[SPLIT.test]))
    told = [{name: line.pop(name) for name in ("test_loss", "test_accuracy")} for line in watching.history_]
    assert watching.history_ == model.history_
    said = model.predict_proba(task.features)
    np.testing.assert_array_equal(watching.predict_proba(task.features), said)
    right = task.y[SPLIT.test]
    assert told[-1]["test_accuracy"] == (said[SPLIT.test].argmax(axis=1) == right).mean()
    assert told[-1]["test_loss"] == pytest.approx(-np.log(said[SPLIT.test, right]).mean(), rel=1e-5)


@pytest.mark.parametrize("clip", [0, 1, 2])
@pytest.mark.parametrize("more", [1, 2, 7])
def test_padding_does_not_matter(cnn, clip, more):
    """A clip in an array of its own length says what it says among others, and with anything past its end."""
    task, model = cnn
    frames, mask = task.features.batch(np.array([clip]))
    length = int(task.features.n_frames[clip])
    wide = np.pad(frames[:, :length], ((0, 0), (0, more), (0, 0)), constant_values=1e3)
    there = np.pad(mask[:, :length], ((0, 0), (0, more)))
    alone = np.asarray(model.model_.predict_on_batch((frames[:, :length], mask[:, :length])))
    for said in (model.model_.predict_on_batch((wide, there)), model.predict_proba(task.features)[[clip]]):
        np.testing.assert_allclose(np.asarray(said), alone, rtol=1e-4, atol=1e-6)


def test_coefficients_are_standardised_by_the_training_clips_alone(cnn):
    """The network's means and variances are those of the training clips' frames."""
    task, model = cnn
    layer = model.model_.get_layer("standardise")
    mean, variance = task.features[SPLIT.train].moments()
    np.testing.assert_allclose(np.asarray(layer.mean).ravel(), mean, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.variance).ravel(), variance, rtol=1e-5)


def test_a_saved_network_says_the_same(fitted, tmp_path):
    """Written and read back, every probability is the same to the last bit."""
    task, model = fitted
    file = save_model(model, tmp_path / "folds-1")
    assert file.name == "folds-1.keras"
    np.testing.assert_array_equal(load_model(file).predict_proba(task.features), model.predict_proba(task.features))


@pytest.mark.parametrize("change", [("Dense", "Lambda"), ("keras.layers", "os"), ("Functional", "TFSMLayer")])
def test_a_file_of_other_parts_is_refused_before_keras_reads_it(cnn, tmp_path, change):
    """A layer that is none of ours, or a class of another module, is named and not made."""
    file = save_model(cnn[1], tmp_path / "good")
    with zipfile.ZipFile(file) as good, zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(
                name, content.replace(change[0].encode(), change[1].encode()) if "config" in name else content
            )
    with pytest.raises(DamageError, match=f"{change[1]}.*which none of our networks is made of"):
        load_model(tmp_path / "bad.keras")


def test_a_broken_file_is_refused(cnn, tmp_path):
    """A cut file, and one whose weights are cut, are no networks."""
    file = save_model(cnn[1], tmp_path / "good")
    (tmp_path / "cut.keras").write_bytes(file.read_bytes()[:-100])
    with zipfile.ZipFile(file) as good, zipfile.ZipFile(tmp_path / "weights.keras", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name)[:500] if name.endswith(".h5") else good.read(name))
    for name in ("cut", "weights"):
        with pytest.raises(DamageError, match="cannot be read"):
            load_model(tmp_path / f"{name}.keras")


def test_early_stopping_learns_nothing_from_the_recordings_that_it_looks_at(cnn):
    """With patience the epochs are judged on recordings that are not learnt from, out of the training clips."""
    model = fit_model(make_task("cnn", patience=1, epochs=3), SPLIT)
    assert {"validation_loss", "validation_accuracy"} <= set(model.history_[0])
    mean = np.asarray(model.model_.get_layer("standardise").mean).ravel()
    assert not np.allclose(mean, cnn[0].features[SPLIT.train].moments()[0], rtol=1e-6)


def test_the_tutorials_network_is_the_tutorials():
    """Dense 256, ReLU, Dropout 0.5, twice; softmax; Adam as it comes; nothing else; batches of 32, 100 epochs."""
    spec = get_model("article-mlp")
    model = spec.build(spec.parameters, 0)
    said = model.predict_untrained(np.zeros((3, 40), np.float32), 10)
    assert said.shape == (3,)
    import keras

    network = article_network(keras, np.zeros((1, 40)), 10, 0, spec.parameters)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["InputLayer", *["Dense", "ReLU", "Dropout"] * 2, "Dense"]
    assert [layer.units for layer in network.layers if hasattr(layer, "units")] == [256, 256, 10]
    assert [layer.rate for layer in network.layers if hasattr(layer, "rate")] == [0.5, 0.5]
    assert network.layers[-1].activation is keras.activations.softmax
    assert (type(network.optimizer).__name__, network.loss) == ("Adam", "categorical_crossentropy")
    assert float(network.optimizer.learning_rate) == pytest.approx(0.001)
    assert (spec.parameters["batch_size"], spec.parameters["epochs"], spec.features) == (32, 100, "mean")


@given(st.integers(0, 1000), st.integers(1, 6))
def test_mixtures_are_of_frames_that_are_there(seed, n):
    """Every mixed frame lies between frames of its clips, labels sum to 1, and padding stays empty."""
    rng = np.random.default_rng(seed)
    clips = frames_of(np.full((n, 2, 12), np.nan, np.float32), rng.integers(1, 13, n))
    for i, length in enumerate(clips.n_frames):
        clips.values[i, :, :length] = -100 - i
    inputs, targets = clips.batch(np.arange(n)), np.eye(n, dtype=np.float32)
    (frames, mask), wanted = shifted_and_mixed(inputs, targets, rng)
    assert frames.shape == inputs[0].shape
    assert frames.dtype == mask.dtype == wanted.dtype == np.float32
    np.testing.assert_allclose(wanted.sum(axis=1), 1, rtol=1e-5)
    assert not frames[mask == 0].any()
    assert (frames[mask == 1] < -99.9).all()
    assert (frames[mask == 1] > -100.1 - n).all()


def test_a_network_is_looked_up_without_importing_keras():
    """Listing and looking up models stays quick, and leaves the choice of the backend open."""
    code = (
        "import sys; from us8k_batch.training import models, networks; models.get_model('cnn');"
        "assert not {'keras', 'jax', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", ["keras", "jax"])
@pytest.mark.parametrize("name", ["cnn", "article-mlp"])
def test_a_missing_extra_is_named(monkeypatch, name, module):
    """Who has not installed it is told what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module}.*\[nn\]"):
        get_model(name)


def test_a_run_of_networks_is_written_and_read_back(tmp_path):
    """From a store to a run directory: curves by epoch, the same numbers side by side as alone."""
    from us8k_batch.training.data import load_dataset
    from us8k_batch.training.rundir import load_run
    from us8k_batch.training.splits import make_splits
    from us8k_batch.training.train import TrainOptions, train

    stores.run(tmp_path / "store", stores.make_clips(16, folds=2))
    options = TrainOptions(
        store=str(tmp_path / "store"), model="cnn", out=str(tmp_path / "run"), jobs=2, parameters=SMALL["cnn"]
    )
    train(options, Lines(lambda _: None))
    run = load_run(str(tmp_path / "run"))
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["split"], line["epoch"]) for line in lines if "epoch" in line] == [
        ("1", 1), ("1", 2), ("2", 1), ("2", 2)
    ]  # fmt: skip
    assert {Path(one["file"]).suffix for one in run.document["models"]} == {".keras"}
    assert {"keras", "jax", "jaxlib"} <= set(run.document["versions"])
    layers = run.document["layers"]
    assert [one["kind"] for one in layers].count("Conv1D") == len(SMALL["cnn"]["filters"])
    assert (layers[-1]["name"], layers[-1]["shape"]) == ("classes", [None, len(run.document["classes"])])
    assert sum(one["parameters"] for one in layers) == run.models()[0].model_.count_params()

    data = load_dataset(str(tmp_path / "store"))
    first = make_splits(data, "folds").parts[0]
    clips = load_frames(data)
    task = replace(make_task("cnn"), features=clips, y=data.y, groups=data.groups)
    alone = fit_split(task, first, "folds").tested.probabilities
    said = run.predictions().set_index("clip_id").loc[data.clip_ids[first.test]]
    np.testing.assert_array_equal(said[[f"p_{name}" for name in data.classes]].to_numpy(), alone)
    np.testing.assert_array_equal(run.models()[0].predict_proba(clips[first.test]), alone)


def test_a_network_that_diverges_ends_in_that_epoch():
    """Model, split, epoch and the parameter to lower are named; nothing is learnt on without numbers."""
    task = make_task("cnn", learning_rate=1e30, epochs=4)
    with pytest.raises(
        DivergedError, match=r"split 1: model cnn diverged in epoch \d of 4.* try less.*learning_rate="
    ):
        fit_split(task, SPLIT, "folds")


def test_a_run_that_diverges_is_a_request_that_cannot_be_met(tmp_path):
    """Exit status 2, one line for a person, and no half run."""
    from us8k_batch.cli import main

    stores.run(tmp_path / "store", stores.make_clips(16, folds=2))
    small = [part for key, value in SMALL["cnn"].items() for part in ("--set", f"{key}={json.dumps(value)}")]
    asked = ["--model", "cnn", *small, "--set", "learning_rate=1e30", "--jobs", "1", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(main, ["train", str(tmp_path / "store"), *asked])
    assert done.exit_code == 2, done.output
    assert "us8k train: split 1: model cnn diverged in epoch" in done.stderr.splitlines()[-1]
    assert [file.name for file in tmp_path.iterdir() if "run" in file.name] == []


def test_every_epoch_is_told_with_the_best_so_far():
    """Who looks on hears of each epoch while it learns, and which one is the best of those that are held out."""
    heard: list[tuple[Any, ...]] = []
    model = make_task("article-mlp").spec.build(make_task("article-mlp", patience=2, epochs=3).parameters, 0)
    model.told = lambda *epoch: heard.append(epoch)
    task = make_task("article-mlp")
    model.fit(task.features, task.y, groups=task.groups)
    assert [(unit, number, of) for unit, number, of, _, _ in heard] == [("epoch", i, 3) for i in (1, 2, 3)]
    losses = [values["validation_loss"] for _, _, _, values, _ in heard]
    assert [best for *_, best in heard] == [int(np.argmin(losses[: i + 1])) + 1 for i in range(3)]
    assert all(set(values) <= {*model.history_[0]} for _, _, _, values, _ in heard)


def test_early_stopping_needs_recordings_to_look_at():
    """Where every class has one recording only, there is nothing to hold out; the message says what to do."""
    task = make_task("cnn", patience=1)
    with pytest.raises(RequestError, match=r"one recording only; add recordings, or .*--set patience=0"):
        fit_model(replace(task, groups=task.y), SPLIT)


def test_early_stopping_holds_out_no_class_whole():
    """A class of one recording is learnt from, whatever part it was drawn for; no recording is on both sides."""
    y, groups = np.arange(40) % 4, np.arange(40) // 4 % 5 * 4 + np.arange(40) % 4
    groups[y == 3] = 3
    for seed in range(10):
        learn, check = _hold_out(y, groups, seed)
        assert set(y[learn]) == {0, 1, 2, 3} and len(check)
        assert not set(groups[learn]) & set(groups[check])
        assert sorted([*learn, *check]) == list(range(40))


def test_numbers_do_not_depend_on_the_number_of_cores():
    """Convolutions and batches of 256 rows are the same to the last bit on one core and on two."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core only")
    said = {_said_on(cores) for cores in (1, 2)}
    assert len(said) == 1


def _said_on(cores: int) -> str:
    """Return what networks say in a process of its own that may use so many cores."""
    script = f"""
import hashlib, os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])
import numpy as np
from us8k_batch.training.frames import frames_of
from us8k_batch.training.models import get_model, with_parameters
rng, said = np.random.default_rng(0), b""
y = np.arange(256) % 10
lengths = rng.integers(60, 174, 64)
inputs = {{
    "article-mlp": (rng.standard_normal((256, 40), np.float32), {{"epochs": 2, "batch_size": 256}}),
    "cnn": (frames_of(rng.standard_normal((64, 40, 174), np.float32), lengths), {{"epochs": 1}}),
}}
for name, (rows, parameters) in inputs.items():
    spec = get_model(name)
    model = spec.build(with_parameters(spec, parameters), 0).fit(rows, y[: len(rows)])
    said += model.predict_proba(rows).tobytes()
print(hashlib.sha256(said).hexdigest())
"""
    unset = {"PJRT_NPROC", "NPROC", "XLA_FLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]
