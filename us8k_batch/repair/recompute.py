"""Compute clips of a store again from their audio, if it is still the audio that they were computed from."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.audio.opening import extension_of
from us8k_batch.catalog.dataset import Catalog
from us8k_batch.catalog.source import open_source
from us8k_batch.catalog.unreadable import MissingClipError, PermissionDeniedError
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError, ConfigError, Failure, StorageError
from us8k_batch.features.decoder import Decoder
from us8k_batch.features.engine import Features, name_of
from us8k_batch.settings import Settings


class Recompute(Protocol):
    """Where a clip's frames come from when the store has lost them."""

    def __call__(self, clip_id: str, source_sha256: str, versions: Mapping[str, str]) -> Features | str:
        """Compute one clip again, with the engine that its plan names; or say why that cannot be.

        Raises
        ------
        StorageError
            If the storage does not answer: nothing is known then, and nothing may be given up.
        """


class FromAudio:
    """Computes clips from a dataset, in decoder children of this machine."""

    def __init__(self, catalog: Catalog, config: FeatureConfig, settings: Settings) -> None:
        self._catalog = catalog
        self._source = open_source(catalog.root)
        self._config = config
        self._settings = settings
        self._decoders: dict[str, Decoder] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __call__(self, clip_id: str, source_sha256: str, versions: Mapping[str, str]) -> Features | str:
        """Read, compare the digest of the source, compute."""
        at = pc.index(self._catalog.clips["clip_id"], pa.scalar(clip_id)).as_py()
        if at < 0:
            return f"{clip_id}: the dataset has no such clip any more"
        path = self._catalog.clips["path"][at].as_py()
        try:
            data = self._source.read(path, self._settings.source_bytes)
        except (MissingClipError, PermissionDeniedError) as error:
            if self._catalog.clips["error"][at].is_valid:
                return str(error)
            # The catalog saw it a moment ago: a lost mount, or an expired login.
            raise StorageError(f"{error}, and a moment ago it was there; is the dataset's storage up?") from error
        except ClipError as error:
            return str(error)
        if hashlib.sha256(data).hexdigest() != source_sha256:
            return f"{clip_id}: its source is another one now"
        try:
            decoder = self._decoder(name_of(versions.get("engine", "")))
        except ConfigError as error:
            return f"{clip_id}: {error}"
        again = decoder.extract(data, extension_of(path))
        return f"{clip_id}: fails now: {again.error} ({again.detail})" if isinstance(again, Failure) else again

    def _decoder(self, engine: str) -> Decoder:
        if engine not in self._decoders:
            self._decoders[engine] = self._stack.enter_context(
                Decoder(
                    self._config,
                    engine,
                    memory_bytes=self._settings.clip_memory,
                    deadline_seconds=self._settings.clip_seconds,
                )
            )
        return self._decoders[engine]
