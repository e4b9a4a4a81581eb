"""The command that makes a run again, from what its ``run.json`` says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from us8k_batch.config import read_options
from us8k_batch.errors import Us8kError
from us8k_batch.training.models import get_model
from us8k_batch.training.spaces import SPACES


def command_of(document: Mapping[str, Any]) -> str:
    """Return the line for a shell: with the same store, versions and type of processor it gives the same numbers.

    Parameters
    ----------
    document : mapping
        What ``run.json`` says.

    Notes
    -----
    Parameters that are the model's defaults are left out, but for those that a search was told to leave alone.
    """
    tuning, store = document.get("tuning"), document["store"]["url"]
    words = ["us8k", "tune" if tuning else "train", store, "--model", document["model"]]
    if tuning:
        words += ["--trials", str(tuning["trials"])]
    else:
        words += ["--protocol", document["protocol"]]
    words += ["--features", document["features"]["name"], "--seed", str(document["seed"])]
    for name, value in _chosen(document):
        words += ["--set", f"{name}={_written(name, value)}"]
    if tuning:
        # How many trials run at a time decides what a search knows when it begins the next one.
        words += ["--jobs", str(document["jobs"])]
    if document.get("allow_incomplete"):
        words.append("--allow-incomplete")
    return shlex.join(words)


def _chosen(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    model, tuning = document["model"], document.get("tuning")
    try:
        defaults = get_model(model).parameters
    except Us8kError:
        defaults = {}
    searched = tuning["space"] if tuning else {}
    fixed = set(SPACES.get(model, {})) - set(searched) if tuning else set()
    for name, value in document["parameters"].items():
        differs = name not in defaults or defaults[name] != value
        if name not in searched and (differs or name in fixed):
            yield name, value


def _written(name: str, value: Any) -> str:
    """Write a value so that the command line reads it back: text as it is, unless that would be something else."""
    if isinstance(value, str) and read_options(None, [f"{name}={value}"]).get(name) == value:
        return value
    return json.dumps(value)
