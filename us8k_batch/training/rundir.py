"""Run directories: written whole or not at all, and refused when a file is not what was written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import pandas as pd

from us8k_batch.documents import MOST_BYTES, read_document
from us8k_batch.errors import DamageError, RequestError
from us8k_batch.folders import beside, made
from us8k_batch.store.parquet import decode
from us8k_batch.training.conform import ANY_NAME, misfit
from us8k_batch.training.models import Model
from us8k_batch.training.persist import load_model

FORMAT = 1
DOCUMENT = "run.json"
METRICS = "metrics.jsonl"
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"
MODELS, FIGURES = "models", "figures"
DISTRIBUTIONS = ("us8k-batch", "numpy", "scipy", "scikit-learn", "skops", "xgboost", "keras", "jax", "jaxlib")

SHAPE: Mapping[str, Any] = {
    "files": {ANY_NAME: str},
    "models": [{"file": str, "protocol": str, "split": str}],
    "versions": {ANY_NAME: str},
}
"""What every run's document has."""
Read = TypeVar("Read")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory whose files are what was written."""

    path: Path
    document: dict[str, Any]
    """What ``run.json`` says."""
    warnings: tuple[str, ...]
    """What is otherwise here than where it was made."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes, which are those that the run wrote, whatever was put there since it was opened.

        Raises
        ------
        DamageError
            If they are not.
        """
        data = _open(self.path, name, lambda file: file.read())
        if hashlib.sha256(data).hexdigest() != self.document["files"].get(name):
            raise DamageError(f"{self.path}: {name} is not what the run wrote (another sha256); train again")
        return data

    def predictions(self) -> pd.DataFrame:
        """Return what the models said of each clip that they were tested on."""
        table: pd.DataFrame = decode(self.read(PREDICTIONS), f"{self.path}/{PREDICTIONS}").to_pandas()
        return table

    def models(self) -> list[Model]:
        """Load the models of the run's own protocol, one per split."""
        loaded = []
        # Libraries want a file: it is a copy of what was compared with its digest, where nobody else can write.
        with tempfile.TemporaryDirectory(prefix="us8k-models-") as folder:
            for one in self.document["models"]:
                if one["protocol"] == self.document["protocol"]:
                    file = Path(folder, Path(one["file"]).name)
                    file.write_bytes(self.read(one["file"]))
                    try:
                        loaded.append(load_model(file))
                    except DamageError as error:
                        raise DamageError(str(error).replace(str(file), f"{self.path}/{one['file']}")) from error
                    file.unlink()
        return loaded

    def require(self, shape: Mapping[str, Any]) -> None:
        """Refuse a run whose ``run.json`` has not the shape that is counted on.

        Raises
        ------
        DamageError
            Naming what differs.
        """
        problem = misfit(self.document, shape)
        if problem:
            raise DamageError(f"{self.path}/{DOCUMENT}: {problem}, which no run writes; train again")


@contextlib.contextmanager
def new_run(path: Path, scrap: str | None = None) -> Iterator[Path]:
    """Give a folder to write a run into, which becomes `path` when all is done and vanishes otherwise.

    The caller ends with `finish`, which makes all of it durable. `scrap` is what it keeps beside the run for other
    runs; see `folders.made`.

    Raises
    ------
    RequestError
        If there is something at `path` already, or nothing can be written there.
    """
    refuse_occupied(path)
    folder = beside(path)
    with made(path.parent, scrap=scrap):
        try:
            for part in (MODELS, FIGURES):
                (folder / part).mkdir(parents=True)
            yield folder
            try:
                folder.rename(path)
            except OSError as error:
                raise RequestError(f"{path}: something else was put there meanwhile; choose another --out") from error
            _sync(path.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Write ``run.json`` with the digests of all other files and its own, and return what it says.

    Of a document that was finished before, files that were added since get their digests too; ``run.json`` is
    replaced at once, so that a run which is there already is whole at any time.
    """
    known: dict[str, str] = document.get("files", {})
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    digests = {name: known.get(name) or _sha256(file) for name, file in files.items() if name != DOCUMENT}
    whole = {"format": FORMAT, **document, "versions": versions(), "files": digests}
    whole["digest"] = digest_document(whole)
    text = json.dumps(whole, indent=2, sort_keys=True, allow_nan=False) + "\n"
    new = folder / f".{DOCUMENT}"
    try:
        new.write_text(text)
        # A digest must not outlive the bytes that it is of.
        _make_durable(folder)
        new.replace(folder / DOCUMENT)
        _sync(folder)
    finally:
        new.unlink(missing_ok=True)
    return dict(json.loads(text))


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
    if digest_document(document) != document.get("digest"):
        raise DamageError(f"{folder}/{DOCUMENT}: was changed after the run; train again")
    problem = misfit(document, SHAPE)
    if problem:
        raise DamageError(f"{folder}/{DOCUMENT}: {problem}, which no run writes; train again")
    listed: dict[str, str] = document["files"]
    for name, digest in listed.items():
        if _open(folder, name, _digest_of) != digest:
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
        with (folder / DOCUMENT).open("rb") as file:
            return read_document(file.read(MOST_BYTES + 1))
    except (FileNotFoundError, NotADirectoryError):
        raise RequestError(f"{folder}: no run here ({DOCUMENT} is missing); make one with us8k train") from None
    except (OSError, ValueError) as error:
        raise DamageError(f"{folder}/{DOCUMENT}: cannot be read ({error}); train again") from error


def digest_document(document: dict[str, Any]) -> str:
    """Return the digest that a document carries of what else it says."""
    said = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return _digest_of(opened)


def _digest_of(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _open(folder: Path, name: str, use: Callable[[BufferedReader], Read]) -> Read:
    """Let `use` read one of a run's files.

    Raises
    ------
    DamageError
        If it is no regular file, or lies outside of the folder: a stranger's run could name any file.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or parts[0] == "/" or "\0" in name:
        raise DamageError(f"{folder}: {name!r} is no file of a run; not opened")
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for i, part in enumerate(parts):
                # Step by step from the folder, and never through a link: what is checked is what is opened.
                kind = os.O_DIRECTORY if i + 1 < len(parts) else os.O_NONBLOCK
                step = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = step
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DamageError(f"{folder}: {name} is no regular file; not opened")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return use(file)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise DamageError(f"{folder}: {name} is missing; train again") from None
    except OSError as error:
        raise DamageError(f"{folder}: {name} cannot be read ({error.strerror})") from error


def _make_durable(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
