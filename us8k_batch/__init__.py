"""Audio features that can be trusted: distributed extraction, a write-once store, honest evaluation."""

__version__ = "0.1.0"
