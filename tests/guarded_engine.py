"""A process that computes clips between pages that must not be touched; it dies if a kernel leaves its arrays.

Arguments: the side on which the pages lie, a seed, and the number of configurations.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import types
from typing import Any

import numpy as np
from audio_files import make_audio
from librosa_reference import assert_agrees
from numpy.typing import NDArray

from us8k_batch.config import RES_TYPES, FeatureConfig
from us8k_batch.features.audio import decode
from us8k_batch.features.fast import buffers, engine
from us8k_batch.features.fast.ways import Route, choose_route
from us8k_batch.features.fast.words import pack
from us8k_batch.features.mfcc import compute_mfcc

_libc = ctypes.CDLL(None, use_errno=True)
EDGES = (
    # Eight numbers are moved of which only two are needed, at the end of the signal.
    (FeatureConfig(res_type="kaiser_fast", n_fft=2048, hop_length=929), 48000, 60_000),
    # By rounding, the last band holds the highest frequency, and an odd number of them.
    (FeatureConfig(sample_rate=44100, n_fft=512, n_mels=50), 44100, 5000),
)
"""Configurations, rates and lengths that touch the last number of an array; found by search."""
RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)


def guarded(values: NDArray[Any], side: str) -> NDArray[Any]:
    """Copy an array to where it begins or ends beside a page that kills whoever touches it."""
    room = -(-max(values.nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    area = mmap.mmap(-1, room + 2 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for page in (address, address + mmap.PAGESIZE + room):
        if _libc.mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = mmap.PAGESIZE + (room - values.nbytes if side == "after" else 0)
    copy = np.frombuffer(area, values.dtype, values.size, offset).reshape(values.shape)
    copy[...] = values
    return copy


def all_guarded(values: Any, side: str) -> Any:
    """Copy every array of nested tuples."""
    if isinstance(values, np.ndarray):
        return guarded(values, side)
    if isinstance(values, tuple):
        return type(values)(*(all_guarded(value, side) for value in values))
    return values


def main(side: str, seed: int, n_configs: int) -> None:
    """Compute clips of random lengths, formats and rates under random configurations."""
    rng = np.random.default_rng(seed)

    def pick(values: Any) -> Any:
        return values[rng.integers(len(values))]

    def aligned(size: int) -> NDArray[np.float32]:
        return guarded(np.full(size, np.nan, dtype=np.float32), side)

    def choose(rate: int, config: FeatureConfig) -> Route:
        route = choose_route(rate, config)
        return Route(all_guarded(route.way, side), route.by_library)

    engine.aligned = buffers.aligned = aligned
    engine.choose_route = choose
    numpy = dict(vars(np), empty=lambda shape, dtype: guarded(np.full(shape, np.nan, dtype), side))
    engine.np = types.SimpleNamespace(**numpy)

    def make(config: FeatureConfig) -> engine.FastEngine:
        fast = engine.FastEngine(config, lambda _header: None, plain=lambda _data, _extension: None)
        fast._tables = pack(all_guarded(fast._tables.values, side))
        return fast

    def compute(fast: engine.FastEngine, **options: Any) -> None:
        data = make_audio(**options)
        features = fast(memoryview(guarded(np.frombuffer(data, dtype=np.uint8), side)).toreadonly())
        if features is not None:
            expected = compute_mfcc(decode(data, fast._config).samples, fast._config)
            assert_agrees(features.mfcc, expected)  # a number that was not written is NaN

    make(FeatureConfig())  # the first one's buffers are larger than needed
    for config, rate, n_samples in EDGES:
        compute(make(config), sample_rate=rate, n_samples=n_samples)
    for _ in range(n_configs):
        n_fft = 2 ** int(rng.integers(9, 15))
        n_mels = int(rng.integers(1, 300))
        config = FeatureConfig(
            sample_rate=pick((1000, 8000, 22050, 22050, 44100)),
            res_type=pick(RES_TYPES),
            n_fft=n_fft,
            hop_length=int(rng.integers(n_fft // 16, n_fft + 1)) if rng.random() < 0.8 else int(rng.integers(1, 9)),
            n_mels=n_mels,
            n_mfcc=int(rng.integers(1, n_mels + 1)),
        )
        fast = make(config)
        for _ in range(6):
            compute(
                fast,
                sample_rate=pick((*RATES, config.sample_rate, 2 * config.sample_rate)),
                channels=pick((1, 2)),
                subtype=pick(("PCM_16", "PCM_24", "FLOAT", "PCM_U8")),
                n_samples=int(rng.integers(1, pick((4, 600, 30_000 if config.hop_length > 20 else 400)))),
            )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
