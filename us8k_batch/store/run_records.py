"""Records of runs: nothing refers to them, so that each carries its own digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from us8k_batch.documents import read_document
from us8k_batch.objects import Objects
from us8k_batch.store.finding import Finding
from us8k_batch.store.layout import DOCUMENT_BYTES, RUNS
from us8k_batch.store.publish import find

DIGEST = "sha256"
"""Member of a record that holds the hex sha256 of the record without it."""
_LAST_BEFORE = "worker_seconds"
"""Last member of the records that were written before they carried a digest, of which nothing can be proved."""


def seal(document: dict[str, Any]) -> bytes:
    """Return a record's bytes, with its digest as the last member."""
    digest = hashlib.sha256(_written(document)).hexdigest()
    return _written(document | {DIGEST: digest})


def verify_runs(objects: Objects) -> Iterator[Finding]:
    """Find the records that are not as they were sealed; one that is gone cannot be missed."""
    for key in sorted(info.key for info in objects.list(RUNS) if info.key.endswith(".json")):
        data = find(objects, key)
        if data is not None and not _is_sealed(data):
            yield Finding(key, "not the record that was written")


def _is_sealed(data: bytes) -> bool:
    try:
        document = read_document(data, DOCUMENT_BYTES)
    except ValueError:
        return False
    if next(reversed(document), None) == _LAST_BEFORE:
        return True
    document.pop(DIGEST, None)
    return seal(document) == data


def _written(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
