"""The fast engine: from a clip's bytes to its features, in one kernel wherever possible.

It agrees with librosa to 1e-3 on real clips, of which half comes from rounding in the resampler and the rest from
transforming in float32. It does not where there is no signal: a pure tone in or above the resampler's transition
band, from about 10.5 kHz on for 22.05 kHz, leaves nothing but rounding errors in most bands, ours or soxr's.
A clip goes to the plain engine where that rounding would show: if a frame is so much louder than most of its bands,
as a whistle with little noise beside it, or whatever is below `fmin` or above `fmax`.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from us8k_batch.audio.opening import FileBytes
from us8k_batch.config import FeatureConfig
from us8k_batch.features import audio, pooling
from us8k_batch.features.audio import OnHeader
from us8k_batch.features.engine import Engine, Features
from us8k_batch.features.fast import spectrum
from us8k_batch.features.fast.arguments import FLOAT32, INT16, INT24, Source, Work, source_of
from us8k_batch.features.fast.buffers import Buffer, aligned
from us8k_batch.features.fast.fft import LANES, ROW
from us8k_batch.features.fast.halve import BLOCK
from us8k_batch.features.fast.library import Library, load_library
from us8k_batch.features.fast.wav import read_wav
from us8k_batch.features.fast.ways import Route, choose_route, count_results
from us8k_batch.features.fast.words import Packed, address_of, pack

logger = logging.getLogger(__name__)

_RATES = 16
"""Source rates whose filters are kept."""
_ENCODINGS = {"PCM_16": INT16, "PCM_24": INT24, "FLOAT": FLOAT32}


class FastEngine:
    """See `us8k_batch.features.engine.make_engine`; for configurations that `claims.why_not` has nothing against."""

    def __init__(self, config: FeatureConfig, on_header: OnHeader, plain: Engine) -> None:
        """Load or compile the kernels and prepare all constants.

        Parameters
        ----------
        config : FeatureConfig
        on_header : callable
            Told each clip's header before the clip is decoded.
        plain : Engine
            Computes, or refuses, clips for which float32 does not suffice, or of which resampy makes nothing.
        """
        self._config = config
        self._on_header = on_header
        self._plain = plain
        self._library = load_library()
        self.compiled = self._library.compiled
        """Whether this process compiled the kernels, instead of loading what another one had compiled."""
        self._in_kernel = config.statistics == ("mean", "std") and _agrees_with_numpy(self._library)
        self._moments = pack(np.empty((2, config.n_mfcc), dtype=np.float64))
        nothing = np.empty((config.n_mfcc, 1), dtype=np.float32)
        self._source, self._mfcc = pack(source_of(nothing)), pack(nothing)
        self._tables = pack(spectrum.make_tables(config))
        self._route = lru_cache(_RATES)(lambda rate: choose_route(rate, config))
        self._span = (LANES - 1) * config.hop_length + config.n_fft
        self._mono, self._samples, self._signal = Buffer(), Buffer(), Buffer()
        self._decibels, self._loudness = Buffer(), Buffer()
        self._rows = aligned(max(LANES * config.n_fft, ROW * BLOCK))
        self._more_rows = aligned(ROW * BLOCK)
        self._power = aligned(LANES * (config.n_fft // 2 + 2))
        self._power.fill(0)
        self._lane = aligned(LANES * LANES)
        self._packed: tuple[tuple[NDArray[np.float32], ...], Packed] | None = None
        self._worked: tuple[Route, int, Packed] | None = None
        self._route(2 * config.sample_rate)  # the most frequent one

    def __call__(self, data: FileBytes, extension: str = "") -> Features:
        """Compute one clip; see `us8k_batch.features.engine.Engine`."""
        start = time.perf_counter()
        source, rate = self._read(data, extension)
        duration = source.n_samples / rate
        n_results, n_samples = count_results(source.n_samples, rate, self._config)
        if not n_results:
            return self._plain(data, extension)
        source = Source(*source[:-1], n_results)
        route = self._route(rate)
        if route.by_library:
            source = self._resample(source, rate)
        decoded = time.perf_counter()
        n_mfcc, n_frames = self._config.n_mfcc, self._config.frames_of(n_samples)
        mfcc = np.empty((n_mfcc, n_frames), dtype=np.float32)
        self._source.refill(source, address_of(source.values), len(source.values), *source[1:])
        self._mfcc.refill(mfcc, address_of(mfcc.data), n_mfcc, n_frames)
        work = self._work(route, n_frames)
        if not self._library.extract(self._source, route.packed, self._tables, work, self._mfcc, self._moments):
            return self._plain(data, extension)
        if self._in_kernel:
            pooled = self._moments.values.astype(np.float32).reshape(-1)
        else:
            pooled = pooling.pool(mfcc, self._config.statistics)
        seconds = {"decode": decoded - start, "compute": time.perf_counter() - decoded}
        return Features(mfcc, pooled, duration, seconds)

    def _read(self, data: FileBytes, extension: str) -> tuple[Source, int]:
        """Find a clip's values, in the file itself or decoded by libsndfile."""
        wav = read_wav(data)
        if wav is None:
            header, samples = audio.read_source(data, self._config, self._on_header, extension)
            audio.check_length(len(samples), header, self._config)
            if header.channels > 2:
                samples = audio.downmix(samples)[:, np.newaxis]
            return source_of(samples), header.sample_rate
        header = wav.header
        self._on_header(header)
        wanted = audio.samples_wanted(header, self._config)
        n_samples = header.n_samples if wanted is None else min(header.n_samples, wanted)
        audio.check_length(n_samples, header, self._config)
        return Source(wav.values, _ENCODINGS[header.subtype], header.channels, n_samples, 0), header.sample_rate

    def _resample(self, source: Source, rate: int) -> Source:
        """Resample the whole clip by soxr or resampy."""
        mono = self._mono.at_least(source.n_samples)[: source.n_samples]
        usual = self._library.read_mono(source, 0, mono)
        made = audio.resample(mono, rate, self._config) if usual else mono
        return source_of(made[:, np.newaxis])

    def _work(self, route: Route, n_frames: int) -> Packed:
        """Return room for the work, packed again only after a buffer has grown."""
        if self._worked is not None and self._worked[0] is route and self._worked[1] == n_frames:
            return self._worked[2]
        samples = self._samples.at_least(route.way.n_samples)
        signal = self._signal.at_least(self._span + route.way.step + LANES)
        n_lanes = -(-n_frames // LANES) * LANES
        decibels, loudness = self._decibels.at_least(n_lanes * self._config.n_mels), self._loudness.at_least(n_lanes)
        growing = (samples, signal, decibels, loudness)
        if self._packed is None or any(one is not other for one, other in zip(self._packed[0], growing, strict=True)):
            work = Work(samples, signal, self._rows, self._more_rows, self._power, decibels, self._lane, loudness)
            self._packed = growing, pack(work)
        self._worked = route, n_frames, self._packed[1]
        return self._packed[1]


def _agrees_with_numpy(library: Library) -> bool:
    """Compare the kernel's means and deviations with numpy's, which decide: for all lengths that it treats apart."""
    noise = np.random.default_rng(0).normal(-5, 50, (8, 1000)).astype(np.float32)
    for n_frames in (1, 7, 8, 9, 128, 129, 173, 1000):
        mfcc = np.ascontiguousarray(noise[:, :n_frames])
        frames = mfcc.astype(np.float64)
        if not np.array_equal(library.take_moments(pack(mfcc)), (frames.mean(axis=1), frames.std(axis=1))):
            logger.warning("numpy does not add up as it was measured to; it pools by itself, which is slower")
            return False
    return True
