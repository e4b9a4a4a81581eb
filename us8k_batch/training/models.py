"""The models by name: how each is built, with which parameters, and what it needs to be fitted and kept."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from us8k_batch.errors import MissingExtraError, RequestError
from us8k_batch.extras import install, need
from us8k_batch.training.epochs import Told


class Model(Protocol):
    """A scikit-learn classifier, as far as the evaluation needs to know it."""

    def fit(self, X: Any, y: NDArray[np.int64], **more: Any) -> Any:  # noqa: N803  # scikit-learn's name
        """Learn from rows of features and codes of labels."""

    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]:  # noqa: N803  # scikit-learn's name
        """Return the probability of every class, shape (n, n_classes), in the order of the codes."""


Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What is to be known about a kind of model before one is built."""

    name: str
    """Name on the command line."""
    build: Callable[[Parameters, int], Model]
    """Make an unfitted model from parameters and a seed; one thread per fit, whatever the machine has."""
    parameters: Parameters = field(default_factory=dict)
    """Defaults of everything that can be set."""
    extra: str = "train"
    """The optional part that it needs."""
    modules: tuple[str, ...] = ("sklearn",)
    """What must be importable for it."""
    takes: Literal["vectors", "frames"] = "vectors"
    """Rows of a feature set, or clips of the frames array."""
    features: str = "salamon14"
    """Feature set that it is given unless another is asked for, or the protocol is the article's."""
    uses_groups: bool = False
    """Whether `fit` also takes `groups`, for an inner split that keeps a recording on one side."""
    watches: bool = False
    """Whether `fit` also takes `watched`: clips that it is asked about after every epoch, and learns nothing from."""
    listen: Callable[[Any, Told], object] | None = None
    """Have an unfitted model tell its epochs or rounds of boosting; None for what learns in one go."""
    pace: str | None = None
    """Parameter that says how far one step of learning goes: the one to lower when the model diverges."""
    workers: Literal["threads", "processes"] = "threads"
    """How folds are fitted side by side: threads where the library leaves the interpreter alone meanwhile."""


PLACES: dict[str, str] = {
    "xgboost": "us8k_batch.training.trees",
    "random-forest": "us8k_batch.training.trees",
    "svm": "us8k_batch.training.classical",
    "knn": "us8k_batch.training.classical",
    "mlp": "us8k_batch.training.classical",
    "logistic": "us8k_batch.training.classical",
    "dummy": "us8k_batch.training.classical",
    "article-mlp": "us8k_batch.training.networks",
    "cnn": "us8k_batch.training.networks",
}
"""Module of each model, which has its `ModelSpec` in a mapping `MODELS`; imported when the model is asked for."""


EVERY = ("joblib", "matplotlib", "skops")
"""What every run needs beside its model: to fit, to draw and to keep."""


def get_model(name: str) -> ModelSpec:
    """Look a model up.

    Raises
    ------
    RequestError
        If there is none of this name.
    MissingExtraError
        If an optional part that it needs is not installed.
    """
    if name not in PLACES:
        close = difflib.get_close_matches(name, PLACES, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise RequestError(f"model {name!r} is unknown: {hint}expected one of {', '.join(PLACES)}")
    spec: ModelSpec = importlib.import_module(PLACES[name]).MODELS[name]
    # Looked for, not imported: that takes seconds, and Keras must be told first what it runs on.
    need(spec.extra, f"model {name}", (*spec.modules, *EVERY))
    return spec


def require(module: str, extra: str, what: str) -> Any:
    """Import a module of an optional part.

    Raises
    ------
    MissingExtraError
        Naming the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs {module}, which cannot be imported ({error}): {install(extra)}"
        ) from error


def with_parameters(spec: ModelSpec, given: Parameters) -> dict[str, Any]:
    """Return a model's parameters with some of them set.

    Raises
    ------
    RequestError
        If a parameter is unknown, or of another type than its default.
    """
    for name, value in given.items():
        if name not in spec.parameters:
            known = ", ".join(spec.parameters) or "none"
            raise RequestError(f"model {spec.name} has no parameter {name!r}: known are {known}")
        default = spec.parameters[name]
        if not _fits(value, default):
            raise RequestError(f"model {spec.name}: {name} = {value!r}, expected a value like {default!r}")
    return {**spec.parameters, **given}


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list):
        return isinstance(value, list) and all(_fits(v, default[0]) for v in value)
    # A word such as max_features="sqrt" may stand where a number may.
    return isinstance(value, type(default)) or (isinstance(default, str) and isinstance(value, int | float))
