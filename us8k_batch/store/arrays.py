"""Let Zarr open the array of a store that may be a stranger's: no chunk decodes to more than a shard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import zarr
from numcodecs.zstd import Zstd
from zarr.codecs import ZstdCodec
from zarr.registry import register_codec

from us8k_batch.store.layout import SHARD_BYTES
from us8k_batch.store.zstd import HEADER_BYTES, read_header


class _BoundedZstd(Zstd):  # type: ignore[misc]
    """numcodecs' zstd, which takes as much memory as a frame's header promises; here never more than a shard."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode one chunk."""
        content = read_header(bytes(memoryview(buf).cast("B")[:HEADER_BYTES])).content
        if content is None or content > SHARD_BYTES:
            raise ValueError(f"a chunk promises {content} bytes, expected at most {SHARD_BYTES}")
        return super().decode(buf, out)


class BoundedZstdCodec(ZstdCodec):
    """Zarr's zstd codec on `_BoundedZstd`."""

    @cached_property
    def _zstd_codec(self) -> Zstd:
        return _BoundedZstd.from_config({"level": self.level, "checksum": self.checksum})


register_codec("zstd", BoundedZstdCodec)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Let arrays that are opened in the block decode no more than a shard at once."""
    name = f"{BoundedZstdCodec.__module__}.{BoundedZstdCodec.__qualname__}"
    with zarr.config.set({"codecs.zstd": name}):
        yield
