"""Find what a person means by a dataset: its metadata, its layout, and what its paths are relative to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from us8k_batch.catalog.bucket import BucketSource
from us8k_batch.catalog.local import LocalSource
from us8k_batch.catalog.metadata import Metadata, parse_csv, parse_parquet
from us8k_batch.catalog.unreadable import MissingClipError
from us8k_batch.errors import ClipError, DatasetError, StorageError
from us8k_batch.objects import is_bucket, local_path

URBANSOUND8K = "urbansound8k"
MANIFEST = "manifest"
METADATA_FILE = "metadata/UrbanSound8K.csv"
BESIDE_FOLDS = "UrbanSound8K.csv"
"""As the dataset's most used mirror has it: beside fold1 to fold10."""
NAMED = 12
"""Entries of a folder that are named where it is no dataset."""
MANIFEST_FILES = ("manifest.csv", "manifest.parquet")
SUFFIXES = (".csv", ".parquet")
LONGEST = 1 << 40
"""Bytes that metadata may have: all that memory holds."""


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset that was found."""

    url: str
    """The dataset as a person would write it."""
    root: str
    """What clip paths are relative to."""
    layout: str
    """`URBANSOUND8K` or `MANIFEST`."""
    metadata: Metadata
    """The rows, as they stand in the file."""
    audio: str = "audio/"
    """What UrbanSound8K's folds are below, with a slash at its end; empty if they are beside the metadata."""


def locate(dataset: str) -> Place:
    """Find a dataset's metadata and read it.

    Raises
    ------
    DatasetError
        If nothing there is a dataset, or its metadata is not a table.
    StorageError
        If a bucket does not answer as it should, even after retries.
    """
    url = dataset.rstrip("/") if is_bucket(dataset) else str(local_path(dataset))
    root, slash, name = url.rpartition("/")
    if name.lower().endswith(SUFFIXES) and not _is_folder(url):
        # A link that a person names is followed; one that lies in a dataset leads nowhere out of it.
        real = url if is_bucket(url) else os.path.realpath(url)
        data = _read(real.rpartition("/")[0] or "/", real.rpartition("/")[2])
        if data is None:
            raise DatasetError(f"{url}: no such file, expected a manifest")
        return Place(url, root or slash, MANIFEST, _parse(url, data))
    if not is_bucket(url) and not _is_folder(url):
        found = "expected a folder, or a manifest named .csv or .parquet"
        raise DatasetError(f"{url}: {found if Path(url).exists() else 'no such file or folder'}")
    data = _read(url, METADATA_FILE)
    if data is not None:
        return Place(url, url, URBANSOUND8K, _parse(f"{url}/{METADATA_FILE}", data))
    data = _read(url, BESIDE_FOLDS)
    if data is not None:
        folders, _ = _source(url).names("")
        audio = "audio/" if "audio" in folders else ""
        return Place(url, url, URBANSOUND8K, _parse(f"{url}/{BESIDE_FOLDS}", data), audio)
    manifests = [(name, data) for name in MANIFEST_FILES if (data := _read(url, name)) is not None]
    if not manifests:
        expected = f"{' or '.join((METADATA_FILE, *MANIFEST_FILES))} in it, or {BESIDE_FOLDS} beside fold1 to fold10"
        raise DatasetError(f"{url}: no dataset: expected {expected}; found {_found(url)}")
    if len(manifests) > 1:
        raise DatasetError(f"{url}: holds {' and '.join(MANIFEST_FILES)}; expected one, or the path of one")
    name, data = manifests[0]
    return Place(url, url, MANIFEST, _parse(f"{url}/{name}", data))


def _source(url: str) -> BucketSource | LocalSource:
    return BucketSource(url) if is_bucket(url) else LocalSource(url)


def _found(url: str) -> str:
    """Say what is in a folder that is no dataset, and what of it may be meant."""
    try:
        folders, files = _source(url).names("")
    except (ClipError, StorageError, OSError):
        return "what cannot be listed"
    names = [*(f"{folder}/" for folder in folders), *files]
    told = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
    tables = [name for name in files if name.lower().endswith(SUFFIXES)]
    known = (METADATA_FILE, BESIDE_FOLDS, *MANIFEST_FILES)
    inner = [
        folder for folder in folders[:NAMED] if any(_read(f"{url}/{folder}", name) is not None for name in known)
    ]
    if inner:
        return f"{told}; a dataset is in {url}/{inner[0]}"
    if tables:
        return f"{told}; if it is a manifest, give it by its name: {url}/{tables[0]}"
    return told or "nothing"


def _is_folder(url: str) -> bool:
    return not is_bucket(url) and Path(url).is_dir()


def _parse(name: str, data: bytes) -> Metadata:
    return parse_parquet(name, data) if name.lower().endswith(".parquet") else parse_csv(name, data)


def _read(root: str, name: str) -> bytes | None:
    """Return a metadata file's bytes; None if there is none."""
    try:
        if is_bucket(root):
            return BucketSource(root).read(name, LONGEST)
        path = Path(root) / name
        if path.exists() and not path.is_file():
            raise DatasetError(f"{path}: expected a regular file")
        return LocalSource(root).read(name, LONGEST)
    except (MissingClipError, FileNotFoundError, NotADirectoryError):
        return None
    except (ClipError, OSError) as error:
        raise DatasetError(f"{root}/{name}: cannot be read: {error}") from error
