"""Everything that can go wrong, grouped by what the caller does about it.

Errors take one message and define no ``__init__``, so that they survive the way back from a worker.
"""

from __future__ import annotations

from dataclasses import dataclass


class Us8kError(Exception):
    """Base of all errors that are ours; the message says what was expected and what to do next."""

    exit_status = 1


class RequestError(Us8kError):
    """What was asked for cannot be done as asked; nothing was touched."""

    exit_status = 2


class ConfigError(RequestError):
    """A setting or feature parameter is unknown or out of range."""


class DatasetError(RequestError):
    """The metadata or the folder does not describe a dataset; names the row."""


class StoreError(RequestError):
    """The store is missing, of another format or configuration, or cannot keep its promise."""


class DivergedError(RequestError):
    """With these parameters a model's numbers run away, on these clips; a search goes on with others."""


class MissingExtraError(RequestError):
    """An optional part is not installed; the message names the extra."""


class JobError(Us8kError):
    """The run stopped before it was done; what is committed stays, and the same command resumes it."""


class RunInterruptedError(JobError):
    """The run was asked to stop before it had anything to publish."""

    exit_status = 130


class LeaseHeldError(JobError):
    """Another run is working on this store; the message says which."""


class DamageError(Us8kError):
    """Bytes in the store are not the bytes that were committed."""


class ObjectNotFoundError(Us8kError):
    """No object has this key."""


class StorageError(Us8kError):
    """The storage did not answer as it should, even after retries; not the clip's fault."""


class StorageRefusedError(StorageError):
    """The storage answered, and would answer the same again."""


class ClipError(Us8kError):
    """One clip has no result, and that is the result; becomes a `Failure`."""

    stage = "decode"
    error = "not_decodable"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a clip has no result: a value that travels from decoder to ``failures.parquet``."""

    stage: str
    """Where it failed: ``read``, ``storage``, ``decode`` or ``extract``."""
    error: str
    """A short stable word, such as ``missing``, ``empty``, ``not_finite``, ``too_long``, ``timeout``."""
    detail: str
    """What was found and what was expected, for a person."""
