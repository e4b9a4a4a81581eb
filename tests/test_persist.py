"""Models as files: what comes back says the same, and what is strange is not loaded."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.training.models import get_model, with_parameters
from us8k_batch.training.persist import load_model, save_model
from us8k_batch.training.temperature import TemperatureScaled

MODELS = ["xgboost", "random-forest", "svm", "knn", "mlp", "logistic", "dummy"]


def clips() -> tuple[np.ndarray, np.ndarray]:
    """Draw 60 clips of three classes."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    return (rng.normal(size=(60, 4)) + np.eye(3, 4)[y]).astype(np.float32), y


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_says_what_the_fitted_one_said(name: str, tmp_path: Path) -> None:
    """Every model survives its file with the same probabilities, and no file is a pickle."""
    features, y = clips()
    spec = get_model(name)
    few = {"n_estimators": 10} if "n_estimators" in spec.parameters else {}
    model = spec.build(with_parameters(spec, few), 0)
    model.fit(features, y)
    file = save_model(model, tmp_path / "folds-1")
    assert file.name == ("folds-1.ubj" if name == "xgboost" else "folds-1.skops")
    assert not file.read_bytes().startswith(b"\x80")
    np.testing.assert_array_equal(load_model(file).predict_proba(features), model.predict_proba(features))


def test_a_stem_with_a_dot_keeps_it(tmp_path: Path) -> None:
    """A split's name is no suffix."""
    model = get_model("dummy").build({}, 0)
    model.fit(*clips())
    assert save_model(model, tmp_path / "folds-1.5").name == "folds-1.5.skops"


def test_a_type_that_no_model_of_ours_has_is_refused(tmp_path: Path) -> None:
    """A skops file that names another type is refused by name before anything of it is made."""
    skops.io.dump({"model": Path("x").open, "more": OrderedDict()}, tmp_path / "model.skops")
    with pytest.raises(DamageError, match="which none of our models is made of"):
        load_model(tmp_path / "model.skops")


@pytest.mark.parametrize("wrap", [lambda forest: forest, TemperatureScaled, make_pipeline])
@pytest.mark.parametrize(("field", "value"), [("left_child", 10_000), ("feature", 99), ("feature", 4)])
def test_a_tree_that_points_outside_itself_is_refused(field: str, value: int, wrap: Any, tmp_path: Path) -> None:
    """Node indices, which scikit-learn follows unchecked, are looked at before the model is given back.

    It does not matter what the trees are part of, nor how many features they say that they have.
    """
    forest = RandomForestClassifier(2, random_state=0).fit(*clips())
    state = forest.estimators_[0].tree_.__getstate__()
    state["nodes"][field][0] = value
    forest.estimators_[0].tree_.__setstate__(state)
    forest.estimators_[0].n_features_in_ = 100
    skops.io.dump(wrap(forest), tmp_path / "model.skops")
    with pytest.raises(DamageError, match="a tree points outside itself"):
        load_model(tmp_path / "model.skops")


@pytest.mark.parametrize("name", ["model.ubj", "model.skops"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_model_is_an_error_with_its_name(name: str, content: bytes, tmp_path: Path) -> None:
    """Empty and foreign files are damage, not a traceback."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamageError, match=name):
        load_model(tmp_path / name)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """A pickle is never even opened."""
    with pytest.raises(RequestError, match=r"model\.pkl: expected a model file ending in \.ubj or \.skops"):
        load_model(tmp_path / "model.pkl")
