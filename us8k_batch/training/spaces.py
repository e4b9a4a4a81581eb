"""Search spaces: what tuning may try of each model; every default lies inside, and is the first trial."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from us8k_batch.errors import RequestError


class Draw(Protocol):
    """What draws values, as far as a space needs to know it: an Optuna trial."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number."""

    def suggest_categorical(self, name: str, choices: list[str]) -> Any:
        """Draw a word."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two, both included."""

    low: int
    high: int

    def draw(self, trial: Draw, name: str) -> int:
        """Draw a value; factors count alike, not differences."""
        return trial.suggest_int(name, self.low, self.high, log=True)

    def encode(self, value: Any) -> int:
        """Return a value as the trial keeps it."""
        return int(value)


@dataclass(frozen=True, slots=True)
class Share:
    """A number between two, both included."""

    low: float
    high: float

    def draw(self, trial: Draw, name: str) -> float:
        """Draw a value; differences count alike."""
        return trial.suggest_float(name, self.low, self.high)

    def encode(self, value: Any) -> float:
        """Return a value as the trial keeps it."""
        return float(value)


@dataclass(frozen=True, slots=True)
class Scale:
    """A number above 0 between two, both included."""

    low: float
    high: float

    def draw(self, trial: Draw, name: str) -> float:
        """Draw a value; factors count alike, not differences."""
        return trial.suggest_float(name, self.low, self.high, log=True)

    def encode(self, value: Any) -> float:
        """Return a value as the trial keeps it."""
        return float(value)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some values, be they words, numbers or lists."""

    values: tuple[Any, ...]

    def draw(self, trial: Draw, name: str) -> Any:
        """Draw a value."""
        return json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in self.values]))

    def encode(self, value: Any) -> str:
        """Return a value as the trial keeps it: JSON, because a list cannot be one of Optuna's."""
        return json.dumps(value)


Range = Whole | Share | Scale | OneOf
Space = Mapping[str, Range]

SPACES: dict[str, Space] = {
    "xgboost": {
        "n_estimators": Whole(50, 400),
        "learning_rate": Scale(0.03, 0.5),
        "max_depth": Whole(2, 8),
        "min_child_weight": Scale(0.3, 10.0),
        "subsample": Share(0.4, 1.0),
        "colsample_bytree": Share(0.1, 1.0),
        "reg_lambda": Scale(0.1, 30.0),
    },
    "random-forest": {
        "n_estimators": Whole(100, 500),
        "max_features": OneOf(("sqrt", 0.05, 0.1, 0.2, 0.4)),
        "min_samples_leaf": Whole(1, 8),
        "max_samples": Share(0.5, 1.0),
    },
    "svm": {
        "C": Scale(0.1, 300.0),
        "gamma": OneOf(("scale", 0.0003, 0.001, 0.003, 0.01)),
    },
    "knn": {
        "n_neighbors": Whole(1, 30),
        "weights": OneOf(("uniform", "distance")),
        "scaling": OneOf(("none", "quantile")),
    },
    "mlp": {
        "hidden_layer_sizes": OneOf(([128], [256], [512], [256, 128])),
        "alpha": Scale(1e-5, 10.0),
        "learning_rate_init": Scale(1e-4, 1e-2),
        "max_iter": Whole(20, 150),
    },
    "logistic": {
        "C": Scale(1e-4, 100.0),
    },
    "article-mlp": {
        "units": Whole(64, 1024),
        "dropout": Share(0.0, 0.7),
        "epochs": Whole(20, 200),
        "batch_size": OneOf((16, 32, 64)),
    },
    "cnn": {
        "filters": OneOf(([32, 48, 64], [64, 96, 128], [96, 128, 192])),
        "kernel": OneOf((3, 5, 7)),
        "dropout": Share(0.2, 0.7),
        "learning_rate": Scale(0.0003, 0.01),
        "weight_decay": Scale(1e-5, 0.1),
    },
}
"""By model, then by parameter. What is not named keeps its default."""


def space_of(model: str, fixed: Mapping[str, Any]) -> Space:
    """Return what may be tried of a model, but for what the user has fixed.

    Raises
    ------
    RequestError
        If there is nothing to try.
    """
    if model not in SPACES:
        raise RequestError(f"model {model!r} has no search space: expected one of {', '.join(SPACES)}")
    space = {name: values for name, values in SPACES[model].items() if name not in fixed}
    if not space:
        raise RequestError(f"all that could be tried of {model} is fixed: leave out a --set, or use us8k train")
    return space


def draw(trial: Draw, space: Space) -> dict[str, Any]:
    """Draw one set of parameters."""
    return {name: values.draw(trial, name) for name, values in space.items()}


def encode(space: Space, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as a trial keeps them."""
    return {name: values.encode(parameters[name]) for name, values in space.items()}


def describe(space: Iterable[str], parameters: Mapping[str, Any]) -> str:
    """Tell the parameters of a space and their values in a line, numbers with three digits."""
    values = ((name, parameters[name]) for name in space)
    return ", ".join(f"{name}={v:.3g}" if isinstance(v, float) else f"{name}={v}" for name, v in values)
