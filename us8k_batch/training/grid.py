"""GRID.toml: which runs an experiment has, validated before the first one starts."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from us8k_batch.errors import RequestError
from us8k_batch.training.featuresets import FEATURE_SETS
from us8k_batch.training.inputs import FRAMES, choose_features
from us8k_batch.training.models import PLACES, get_model, with_parameters
from us8k_batch.training.splits import PROTOCOLS

DEFAULTS: dict[str, list[Any]] = {"features": [], "seeds": [0], "protocols": ["folds"]}
"""Lists that may be left out; no features at all means: what each model takes by default."""
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of an experiment."""

    model: str
    features: str
    protocol: str
    seed: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """All parameters of the model."""

    @property
    def name(self) -> str:
        """Name of its run directory."""
        return f"{self.model}-{self.features}-{self.protocol}-seed{self.seed}"


def read_grid(file: str) -> tuple[Cell, ...]:
    """Read and validate a grid.

    Parameters
    ----------
    file : str
        A TOML file with the lists ``models``, ``features``, ``seeds`` and ``protocols``, and a table
        ``parameters.MODEL`` for each model that is not to have its defaults.

    Returns
    -------
    tuple of Cell
        Models first, seeds last. A model that takes all frames has one cell for each protocol and seed,
        whatever the feature sets.

    Raises
    ------
    RequestError
        Naming the key, what was found there, and what is known.
    MissingExtraError
        If a model needs an optional part that is not installed.
    """
    try:
        grid = tomllib.loads(Path(file).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"{file}: {error}; expected a TOML file such as models = ['svm', 'xgboost']") from error
    _refuse_unknown(file, "key", grid, ["models", *DEFAULTS, "parameters"])
    models = _names(file, grid, "models", PLACES)
    features = _names(file, grid, "features", [*FEATURE_SETS, FRAMES])
    protocols = _names(file, grid, "protocols", PROTOCOLS)
    seeds = _list(file, grid, "seeds")
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
            raise RequestError(f"{file}: seeds: {seed!r}, expected whole numbers from 0 to {LARGEST_SEED}")
    if not models:
        raise RequestError(f"{file}: models is missing or empty: expected a list out of {', '.join(PLACES)}")
    given = _parameters(file, grid, models)
    cells: dict[str, Cell] = {}
    for model in models:
        spec = get_model(model)
        parameters = with_parameters(spec, given.get(model, {}))
        for protocol in protocols:
            asked = [FRAMES] if spec.takes == "frames" else [name for name in features if name != FRAMES]
            for name in asked or [choose_features(spec, None, protocol)]:
                for seed in seeds:
                    cell = Cell(model=model, features=name, protocol=protocol, seed=seed, parameters=parameters)
                    cells[cell.name] = cell
    return tuple(cells.values())


def _parameters(file: str, grid: Mapping[str, Any], models: list[str]) -> dict[str, dict[str, Any]]:
    given = grid.get("parameters", {})
    if not isinstance(given, dict) or not all(isinstance(values, dict) for values in given.values()):
        raise RequestError(f"{file}: parameters: expected a table for each model, such as [parameters.svm]")
    _refuse_unknown(file, "parameters for model", given, models)
    for model, values in given.items():
        try:
            with_parameters(get_model(model), values)
        except RequestError as error:
            raise RequestError(f"{file}: parameters.{model}: {error}") from error
    return given


def _names(file: str, grid: Mapping[str, Any], key: str, known: Iterable[str]) -> list[str]:
    names = _list(file, grid, key)
    _refuse_unknown(file, f"{key}:", names, known)
    return names


def _list(file: str, grid: Mapping[str, Any], key: str) -> list[Any]:
    values = grid.get(key, DEFAULTS.get(key, []))
    if not isinstance(values, list):
        raise RequestError(f"{file}: {key} = {values!r}: expected a list, such as {key} = [{values!r}]")
    if any(value in values[:i] for i, value in enumerate(values)):
        raise RequestError(f"{file}: {key}: {values!r} names something twice")
    return values


def _refuse_unknown(file: str, what: str, names: Iterable[Any], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise RequestError(f"{file}: unknown {what} {name!r}: {hint}known are {', '.join(known)}")
