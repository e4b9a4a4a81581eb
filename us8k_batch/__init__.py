"""Audio features that can be trusted: distributed extraction, a write-once store, honest evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from us8k_batch.store.reader import open_store as open_store

__version__ = "0.1.0"
__all__ = ["__version__", "open_store"]

_PLACES = {"open_store": "us8k_batch.store.reader"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``us8k --help`` needs none of it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)
