"""The registry of models: every model by the same rules."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from us8k_batch.errors import MissingExtraError, RequestError
from us8k_batch.training.models import PLACES, ModelSpec, get_model, require, with_parameters

VECTOR_MODELS = ["xgboost", "random-forest", "svm", "knn", "mlp", "logistic", "dummy"]
SMALL = {"xgboost": {"n_estimators": 5}, "random-forest": {"n_estimators": 5}, "mlp": {"max_iter": 3}}


def fitted(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fit a model on three classes and return its probabilities of other clips, and their right codes."""
    rng = np.random.default_rng(1)
    y = np.arange(120) % 3
    features = (rng.normal(size=(120, 4)) + 2 * np.eye(3, 4)[y] * 2).astype(np.float32)
    spec = get_model(name)
    model = spec.build(with_parameters(spec, SMALL.get(name, {})), seed)
    more = {"groups": np.arange(90)} if spec.uses_groups else {}
    model.fit(features[:90], y[:90], **more)
    return model.predict_proba(features[90:]), y[90:]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", VECTOR_MODELS)
def test_every_model_gives_every_class_a_probability(name: str) -> None:
    """Probabilities of all classes, in the order of the codes, adding up to 1."""
    probabilities, y = fitted(name)
    assert probabilities.shape == (30, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert name == "dummy" or (probabilities.argmax(axis=1) == y).mean() > 0.7


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", VECTOR_MODELS)
def test_the_same_seed_gives_the_same_numbers(name: str) -> None:
    """Two fits with one seed agree to the last bit."""
    assert np.array_equal(fitted(name, 3)[0], fitted(name, 3)[0])


@pytest.mark.parametrize("name", VECTOR_MODELS)
def test_every_model_uses_one_thread(name: str) -> None:
    """Folds run side by side, so no fit asks for more than one thread."""
    spec = get_model(name)
    model = spec.build(spec.parameters, 0)
    threads = [value for key, value in model.get_params(deep=True).items() if key.split("__")[-1] == "n_jobs"]
    assert set(threads) <= {1, None}


def test_an_unknown_scaling_is_refused() -> None:
    """A word that may be wrong is checked when the model is built, naming what is known."""
    spec = get_model("knn")
    with pytest.raises(RequestError, match="scaling = 'standard', expected none or quantile"):
        spec.build(with_parameters(spec, {"scaling": "standard"}), 0)


def test_an_unknown_model_is_refused_with_a_hint() -> None:
    """The error lists all models, and the one that was probably meant."""
    with pytest.raises(
        RequestError, match=r"model 'xgbost' is unknown: did you mean xgboost\? expected one of xgboost"
    ):
        get_model("xgbost")
    assert set(VECTOR_MODELS) <= set(PLACES)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without XGBoost the error says what to install."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xgboost" else found(name))
    with pytest.raises(MissingExtraError, match=r"model xgboost needs xgboost, which is not.*install .*\[train\]'"):
        get_model("xgboost")
    with pytest.raises(MissingExtraError, match=r"drawing needs no_such_module.*\[train\]'"):
        require("no_such_module", "train", "drawing")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depth", 3, "has no parameter 'depth': known are n, rate, fast, sizes, mode"),
        ("n", 2.5, "n = 2.5, expected a value like 3"),
        ("n", True, "n = True, expected a value like 3"),
        ("rate", "high", "rate = 'high', expected a value like 0.1"),
        ("fast", 1, "fast = 1, expected a value like False"),
        ("sizes", [1, "a"], r"sizes = \[1, 'a'\], expected a value like \[4\]"),
        ("mode", [1], r"mode = \[1\], expected a value like 'sqrt'"),
    ],
)
def test_wrong_parameters_are_refused(name: str, value: object, message: str) -> None:
    """A typo or a value of another type is an error before anything is fitted."""
    known = {"n": 3, "rate": 0.1, "fast": False, "sizes": [4], "mode": "sqrt"}
    spec = ModelSpec(name="model", build=get_model("dummy").build, parameters=known)
    with pytest.raises(RequestError, match=message):
        with_parameters(spec, {name: value})


def test_parameters_keep_their_defaults() -> None:
    """Only what is given changes, and a whole number may stand for a fraction."""
    spec = get_model("xgboost")
    changed = with_parameters(spec, {"learning_rate": 1})
    assert changed == {**spec.parameters, "learning_rate": 1}


def test_the_locks_have_one_xgboost_for_every_python() -> None:
    """Its versions cut features into other bins, so that a lock with two of them gives two results for one seed."""
    for lock in ("requirements.lock", "requirements-dev.lock"):
        lines = Path(__file__).parent.with_name(lock).read_text().splitlines()
        found = [line for line in lines if line.startswith("xgboost==")]
        assert len(found) == 1
        assert "python_full_version" not in found[0]
