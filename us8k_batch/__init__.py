"""Audio features that can be trusted: distributed extraction, a write-once store, honest evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from us8k_batch.version import __version__

if TYPE_CHECKING:
    from us8k_batch.api import cross_validate as cross_validate
    from us8k_batch.api import extract as extract
    from us8k_batch.api import plan as plan
    from us8k_batch.api import report as report
    from us8k_batch.store.reader import open_store as open_store

__all__ = ["__version__", "cross_validate", "extract", "open_store", "plan", "report"]

_PLACES = {
    "cross_validate": "us8k_batch.api",
    "extract": "us8k_batch.api",
    "open_store": "us8k_batch.store.reader",
    "plan": "us8k_batch.api",
    "report": "us8k_batch.api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``us8k --help`` needs none of it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """List what can be asked for, for a shell that completes names."""
    return sorted({*globals(), *_PLACES})
