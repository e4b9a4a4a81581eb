"""Fitted models as files without pickle: loading one runs no code that came with it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.training.models import Model

TRUSTED = frozenset(
    {
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._kd_tree.KDTree",
        "us8k_batch.training.temperature.TemperatureScaled",
    }
)
"""Types beyond skops' own list that our models are made of; a file that names another one is refused."""


def save_model(model: Model, stem: Path) -> Path:
    """Write a fitted model beside `stem`, with the suffix of its format, and return the file's path."""
    if type(model).__module__.partition(".")[0] == "xgboost":
        file = stem.with_name(f"{stem.name}.ubj")
        model.save_model(file)  # type: ignore[attr-defined]  # XGBoost's own, beside what scikit-learn asks for
        return file
    import skops.io

    file = stem.with_name(f"{stem.name}.skops")
    skops.io.dump(model, file, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    return file


def load_model(file: Path) -> Model:
    """Read a model back.

    Raises
    ------
    DamageError
        If the file is not a model, or one of types that none of our models is made of.
    RequestError
        If the format is unknown.
    """
    loaders = {".ubj": _load_ubj, ".skops": _load_skops}
    if file.suffix not in loaders:
        raise RequestError(f"{file}: expected a model file ending in {' or '.join(loaders)}")
    try:
        return loaders[file.suffix](file)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DamageError(f"{file}: cannot be read as a model ({str(error).splitlines()[0]})") from error


def _load_ubj(file: Path) -> Model:
    import xgboost

    model: Any = xgboost.XGBClassifier()
    try:
        model.load_model(file)
    except xgboost.core.XGBoostError as error:
        raise DamageError(f"{file}: not a model of XGBoost's") from error
    loaded: Model = model
    return loaded


def _load_skops(file: Path) -> Model:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    unknown = sorted(set(skops.io.get_untrusted_types(file=file)) - TRUSTED)
    if unknown:
        raise DamageError(f"{file}: holds {', '.join(unknown)}, which none of our models is made of; not loaded")
    try:
        loaded: Model = skops.io.load(file, trusted=sorted(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise DamageError(f"{file}: {error}") from error
    return loaded
