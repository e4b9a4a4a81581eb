"""Run directories: written whole or not at all, and refused when a file is not what was written."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.training.models import Model
from us8k_batch.training.persist import load_model

FORMAT = 1
DOCUMENT = "run.json"
METRICS = "metrics.jsonl"
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"
MODELS, FIGURES = "models", "figures"
DISTRIBUTIONS = ("us8k-batch", "numpy", "scipy", "scikit-learn", "skops", "xgboost", "keras", "jax", "jaxlib")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory whose files are what was written."""

    path: Path
    document: dict[str, Any]
    """What ``run.json`` says."""
    warnings: tuple[str, ...]
    """What is otherwise here than where it was made."""

    def predictions(self) -> pd.DataFrame:
        """Return what the models said of each clip that they were tested on."""
        return pd.read_parquet(self.path / PREDICTIONS)

    def models(self) -> list[Model]:
        """Load the models of the run's own protocol, one per split."""
        return [
            load_model(self.path / one["file"])
            for one in self.document["models"]
            if one["protocol"] == self.document["protocol"]
        ]


@contextmanager
def new_run(path: Path) -> Iterator[Path]:
    """Give a folder to write a run into, which becomes `path` when all is done and vanishes otherwise.

    The caller ends with `finish`.

    Raises
    ------
    RequestError
        If there is something at `path` already, or nothing can be written there.
    """
    refuse_occupied(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        folder.chmod(0o755)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        for part in (MODELS, FIGURES):
            (folder / part).mkdir()
        yield folder
        _make_durable(folder)
        try:
            folder.rename(path)
        except OSError as error:
            raise RequestError(f"{path}: something else was put there meanwhile; choose another --out") from error
        _sync(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Write ``run.json`` with the digests of all other files and its own, and return what it says."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    digests = {file.relative_to(folder).as_posix(): _sha256(file) for file in files}
    whole = {"format": FORMAT, **document, "versions": versions(), "files": digests}
    whole["digest"] = _digest(whole)
    (folder / DOCUMENT).write_text(json.dumps(whole, indent=2, sort_keys=True, allow_nan=False) + "\n")
    return whole


def load_run(path: str) -> Run:
    """Read a run directory, comparing every file with the digest that was written down.

    Raises
    ------
    RequestError
        If it is no run directory, or one of another format.
    DamageError
        If a file is missing or not what was written, or a model has no digest.
    """
    folder = Path(path)
    document = _read_document(folder)
    if document.get("format") != FORMAT:
        raise RequestError(f"{folder}: a run of format {document.get('format')}; this program reads format {FORMAT}")
    if _digest(document) != document.get("digest"):
        raise DamageError(f"{folder}/{DOCUMENT}: was changed after the run; train again")
    listed: dict[str, str] = document["files"]
    for name, digest in listed.items():
        file = folder / name
        if not file.is_file():
            raise DamageError(f"{folder}: {name} is missing; train again")
        if _sha256(file) != digest:
            raise DamageError(f"{folder}: {name} is not what the run wrote (another sha256); train again")
    strange = {model["file"] for model in document["models"]} - set(listed)
    if strange:
        raise DamageError(f"{folder}: {', '.join(sorted(strange))} has no digest in {DOCUMENT}; train again")
    warnings = _differences(document["versions"])
    for warning in warnings:
        logger.warning("%s: %s", folder, warning)
    return Run(folder, document, tuple(warnings))


def refuse_occupied(path: Path) -> None:
    """Refuse to write where something is.

    Raises
    ------
    RequestError
        If `path` exists.
    """
    if path.exists() or path.is_symlink():
        raise RequestError(f"{path}: is there already; a run never writes over one: choose another --out")


def free_path(folder: Path, name: str) -> Path:
    """Return the first of ``name-001``, ``name-002``, ... that is not taken in a folder."""
    number = 1
    while (folder / f"{name}-{number:03d}").exists():
        number += 1
    return folder / f"{name}-{number:03d}"


def versions(distributions: Sequence[str] = DISTRIBUTIONS) -> dict[str, str]:
    """Return the versions of what decides a model's numbers, as far as it is installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _differences(then: dict[str, str]) -> list[str]:
    now = versions()
    return [
        f"made with {name} {version}, here is {now.get(name, 'none')}: its models may say something else"
        for name, version in then.items()
        if now.get(name) != version
    ]


def _read_document(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / DOCUMENT).read_text())
    except FileNotFoundError:
        raise RequestError(f"{folder}: no run here ({DOCUMENT} is missing); make one with us8k train") from None
    except (OSError, ValueError) as error:
        raise DamageError(f"{folder}/{DOCUMENT}: cannot be read ({error}); train again") from error
    if not isinstance(document, dict):
        raise DamageError(f"{folder}/{DOCUMENT}: is not what a run writes; train again")
    return document


def _digest(document: dict[str, Any]) -> str:
    said = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _make_durable(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
