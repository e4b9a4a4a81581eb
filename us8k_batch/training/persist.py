"""Fitted models as files without pickle: loading one runs no code that came with it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.training.models import Model, require

TRUSTED = frozenset(
    {
        # Its nodes are indices that scikit-learn follows unchecked, so `_check_trees` looks at them first.
        "sklearn.tree._tree.Tree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
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
    if type(model).__module__ == "us8k_batch.training.neural":
        file = stem.with_name(f"{stem.name}.keras")
        model.save(file)  # type: ignore[attr-defined]  # networks have it
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
    loaders = {".ubj": _load_ubj, ".skops": _load_skops, ".keras": _load_keras}
    if file.suffix not in loaders:
        raise RequestError(f"{file}: expected a model file ending in {' or '.join(loaders)}")
    try:
        return loaders[file.suffix](file)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DamageError(f"{file}: cannot be read as a model ({str(error).splitlines()[0]})") from error


def _load_ubj(file: Path) -> Model:
    xgboost = require("xgboost", "train", str(file.name))
    model: Any = xgboost.XGBClassifier()
    try:
        model.load_model(file)
    except xgboost.core.XGBoostError as error:
        raise DamageError(f"{file}: not a model of XGBoost's") from error
    loaded: Model = model
    return loaded


def _load_keras(file: Path) -> Model:
    from us8k_batch.training.neural import load_network

    return load_network(file)


def _load_skops(file: Path) -> Model:
    require("skops.io", "train", str(file.name))
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    unknown = sorted(set(skops.io.get_untrusted_types(file=file)) - TRUSTED)
    if unknown:
        raise DamageError(f"{file}: holds {', '.join(unknown)}, which none of our models is made of; not loaded")
    try:
        loaded: Model = skops.io.load(file, trusted=sorted(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise DamageError(f"{file}: {error}") from error
    _check_trees(loaded, file)
    return loaded


def _check_trees(model: Any, file: Path) -> None:
    """Refuse trees, wherever they are, that point outside themselves or their features: asking them could crash."""
    parts = list(_parts(model, set()))
    widths = {part.n_features_in_ for part in parts if hasattr(part, "n_features_in_")}
    for tree in (part.tree_ for part in parts if hasattr(part, "tree_")):
        nodes = np.arange(tree.node_count)
        children = np.stack([tree.children_left, tree.children_right])
        leaf = children[0] == -1
        inside = ((children > nodes) & (children < tree.node_count)) | leaf
        features = (tree.feature >= 0) & (tree.feature < min(widths)) | leaf
        if not (inside.all() and features.all()):
            raise DamageError(f"{file}: a tree points outside itself; not loaded")


def _parts(node: Any, seen: set[int]) -> Iterator[Any]:
    """Find every object that an object is made of."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, dict):
        inner = list(node.values())
    elif isinstance(node, list | tuple):
        inner = list(node)
    elif hasattr(node, "__dict__"):
        yield node
        inner = list(vars(node).values())
    else:
        return
    for one in inner:
        yield from _parts(one, seen)
