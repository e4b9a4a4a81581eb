"""Preflight: what makes a worker fit for a run, found out before the first task."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from us8k_batch.catalog.source import open_source
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError, StorageError, Us8kError
from us8k_batch.features.engine import numeric_versions
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import INFO, LEASE
from us8k_batch.version import __version__


@dataclass(frozen=True, slots=True)
class Check:
    """What the client has, and every worker must have too."""

    versions: dict[str, str]
    """Versions of this package, of the engine and of numeric libraries."""
    config: FeatureConfig
    engine: str
    root: str
    """What clip paths are relative to."""
    samples: tuple[str, ...]
    """Paths of a few clips that the client sees."""
    store: str
    """The store's path or URL."""
    info_sha256: str | None
    """Hex sha256 of the store's description; None if it is still to be created."""


def inspect_worker(check: Check) -> str:
    """Return what makes this worker unfit, and what to do; an empty string if nothing does."""
    try:
        return _versions(check) or _dataset(check) or _store(check)
    except (Us8kError, OSError) as error:
        return str(error)


def _versions(check: Check) -> str:
    here = {"us8k_batch": __version__, **numeric_versions(check.config, check.engine)}
    different = [
        f"{name} {here.get(name, 'is missing')} (client: {version})"
        for name, version in check.versions.items()
        if here.get(name) != version
    ]
    return f"has other versions: {', '.join(different)}; install the same lock everywhere" if different else ""


def _dataset(check: Check) -> str:
    source = open_source(check.root)
    trouble = ""
    for path in check.samples:
        try:
            source.read_head(path, 1)
        except (ClipError, StorageError) as error:
            trouble = str(error)
        else:
            return ""
    return trouble and f"does not see the dataset {check.root} ({trouble}); mount it at the same path"


def _store(check: Check) -> str:
    objects = open_objects(check.store)
    if check.info_sha256 is not None:
        try:
            found = hashlib.sha256(objects.get(INFO)).hexdigest()
        except Us8kError:
            return f"does not see the store {check.store}; mount it at the same path, or use a bucket"
        if found != check.info_sha256:
            return f"sees another store at {check.store}; mount the same one everywhere"
    key = f"{LEASE}/probe-{uuid.uuid4().hex}"
    objects.create(key, b"")
    objects.delete(key)
    return ""
