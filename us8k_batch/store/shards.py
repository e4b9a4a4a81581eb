"""The bytes of the Zarr array: its metadata, and one shard encoded whole in memory."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.errors import DamageError
from us8k_batch.store.layout import StoreInfo

ZSTD_LEVEL = 1
"""As small as higher levels on MFCC frames, in three quarters of the time."""

Frames = NDArray[np.float32]
"""MFCC frames of one clip, shape (n_mfcc, n_frames)."""


def group_metadata() -> bytes:
    """Return ``mfcc.zarr/zarr.json``."""
    return _json({"zarr_format": 3, "node_type": "group", "attributes": {}})


def array_metadata(info: StoreInfo, n_rows: int) -> bytes:
    """Return ``mfcc.zarr/mfcc/zarr.json``: a pure function of ``us8k.json`` and the number of rows."""
    config = info.config
    inner = [info.clips_per_chunk, config.n_mfcc, info.frames]
    little_endian = {"name": "bytes", "configuration": {"endian": "little"}}
    return _json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [n_rows, config.n_mfcc, info.frames],
            "data_type": "float32",
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [info.clips_per_shard, config.n_mfcc, info.frames]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN",
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": inner,
                        # Without the checksum a flipped bit in a chunk is read as other numbers, silently.
                        "codecs": [
                            little_endian,
                            {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": True}},
                        ],
                        "index_codecs": [little_endian, {"name": "crc32c"}],
                        "index_location": "end",
                    },
                }
            ],
            "dimension_names": ["clip", "coefficient", "frame"],
            "attributes": {
                "long_name": "mel-frequency cepstral coefficients; NaN where a clip has no frame",
                "sample_rate": config.sample_rate,
                "hop_length": config.hop_length,
                "feature_fingerprint": config.fingerprint,
            },
            "storage_transformers": [],
        }
    )


def encode_shard(info: StoreInfo, clips: Sequence[Frames | None]) -> bytes:
    """Encode one shard whole, without opening the array that readers see.

    Parameters
    ----------
    info : StoreInfo
        Shape of a shard.
    clips : sequence of float32 arrays, shape (n_mfcc, n_frames), or None
        One entry per row of the shard from its first row on; None where a clip has no result.

    Returns
    -------
    bytes
        The shard object: chunks, then their index. Same input, same bytes.

    Notes
    -----
    Two writers in one sharded object lose data silently (zarr-developers/zarr-python#3682), and Zarr's own
    local store does not fsync; so the object is made here and created once by the caller. It is Zarr's
    ``sharding_indexed`` to the byte, at two thirds of the time, and without importing Zarr on a worker.
    """
    import google_crc32c
    from numcodecs.zstd import Zstd

    step = info.clips_per_chunk
    n_chunks = -(-len(clips) // step)
    block = np.empty((step, info.config.n_mfcc, info.frames), dtype="<f4")
    codec = Zstd(level=ZSTD_LEVEL, checksum=True)
    chunks = []
    for first in range(0, len(clips), step):
        for place in range(step):
            frames = clips[first + place] if first + place < len(clips) else None
            n_frames = 0 if frames is None else frames.shape[1]
            if frames is not None:
                block[place, :, :n_frames] = frames
            block[place, :, n_frames:] = np.nan
        chunks.append(codec.encode(block))
    # Offset and length of each chunk; all ones where there is none, in the rows that no plan handed out.
    index = np.full((info.clips_per_shard // step, 2), np.iinfo(np.uint64).max, dtype="<u8")
    lengths = np.array([len(chunk) for chunk in chunks], dtype=np.uint64)
    index[:n_chunks, 0] = np.cumsum(lengths) - lengths
    index[:n_chunks, 1] = lengths
    ending = index.tobytes()
    return b"".join([*chunks, ending, struct.pack("<I", google_crc32c.value(ending))])


def decode_shard(info: StoreInfo, data: bytes, n_rows: int, key: str) -> NDArray[np.float32]:
    """Decode the first rows of a shard object, checking every chunk.

    Returns
    -------
    float32 array, shape (n_rows, n_mfcc, frames)

    Raises
    ------
    DamageError
        If the bytes do not decode; `key` names the object.
    """
    from zarr.core.sync import sync

    if not data:
        raise DamageError(f"{key}: is empty")
    try:
        return sync(_decode(array_metadata(info, n_rows), data))
    except Exception as error:  # zarr and its codecs raise whatever their C libraries do
        raise DamageError(f"{key}: not the shard that was written ({error})") from error


def n_shards(info: StoreInfo, n_rows: int) -> int:
    """Return how many shards a number of rows takes."""
    return math.ceil(n_rows / info.clips_per_shard)


async def _decode(metadata: bytes, data: bytes) -> NDArray[np.float32]:
    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    from us8k_batch.store.arrays import bounded

    buffer = default_buffer_prototype().buffer
    memory = MemoryStore()
    await memory.set("zarr.json", buffer.from_bytes(metadata))
    await memory.set("c/0/0/0", buffer.from_bytes(data))
    with bounded():
        array = await zarr.api.asynchronous.open_array(store=memory, mode="r")
    return np.asarray(await array.getitem(slice(None)), dtype=np.float32)


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
