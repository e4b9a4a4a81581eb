"""Choose how clips of one rate get to the configured rate."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.features import audio
from us8k_batch.features.fast import halve, phases
from us8k_batch.features.fast.arguments import COPY, HALVE, PHASES, Source, Way, Work, source_of
from us8k_batch.features.fast.buffers import aligned
from us8k_batch.features.fast.fft import ROW
from us8k_batch.features.fast.library import load_library
from us8k_batch.features.fast.taps import Window, kaiser_taps, load_window, respond, soxr_halving_taps
from us8k_batch.features.fast.words import Packed, pack
from us8k_batch.features.mel import mel_corners

logger = logging.getLogger(__name__)

_STEP = 8192
"""Results, or samples if those are more, that are made in one step where the filter does not decide."""
_MOST_WEIGHTS = 1 << 20
"""Weights in the filters of one ratio (4 MB); from 48 to 22.05 kHz there are 16 thousand."""
_ROUNDING = 3.0
"""Power of the difference of soxr's or resampy's float32 results and ours, per power of a transform's rounding. Most
of it is theirs: measured against float64, ours is 0.9e-7 of a tone, soxr's 1.0 to 1.6e-7, resampy's 1.1 to 1.4e-7."""
_LEFT_OUT = 3.0
"""What power that no band holds counts more: bands beside it are narrow, so that neighbours share errors."""
_LEAST_RESPONSE = 1e-4
"""Power response of a filter below which its stop band begins, where nothing is left to judge the source by."""
_CLOSE = 2e-6
"""Largest difference of soxr's samples and ours, for noise between -1 and 1, that counts as agreement."""


@dataclass(frozen=True, slots=True)
class Route:
    """How clips of one rate are resampled."""

    way: Way
    """What the kernel does."""
    by_library: bool
    """Whether soxr or resampy itself resamples the whole clip first."""
    packed: Packed = field(init=False)
    """`way`, for the kernel."""

    def __post_init__(self) -> None:
        """Pack the way once, for all clips."""
        object.__setattr__(self, "packed", pack(self.way))


def choose_route(rate: int, config: FeatureConfig) -> Route:
    """Choose the fastest way that gives librosa's samples.

    Parameters
    ----------
    rate : int
        Rate of the clips, in Hz.
    config : FeatureConfig
    """
    if rate == config.sample_rate:
        return make_copy(config, by_library=False)
    if config.res_type.startswith("kaiser"):
        window = load_window(config.res_type)
        if rate == 2 * config.sample_rate:
            return halve_with(kaiser_taps(window, 0.5), config)
        if phases.n_weights(window, rate, config.sample_rate) <= _MOST_WEIGHTS:
            return _filter(window, rate, config)
    if config.res_type == "soxr_hq" and rate == 2 * config.sample_rate:
        route = halve_with(soxr_halving_taps(config.res_type), config)
        if _agrees_with_soxr(route, config):
            return route
        logger.warning("soxr is not the filter that it was measured to be; it resamples by itself, which is slower")
    return make_copy(config, by_library=True)


def count_results(n_samples: int, rate: int, config: FeatureConfig) -> tuple[int, int]:
    """Return how many samples the resampler makes, and how many librosa has then: it adds a zero if need be."""
    n_wanted = math.ceil(n_samples * (float(config.sample_rate) / rate))
    if rate == config.sample_rate or not config.res_type.startswith("kaiser"):
        return n_wanted, n_wanted
    return min(n_wanted, int(n_samples * float(config.sample_rate) / float(rate))), n_wanted


def resample(route: Route, source: Source) -> NDArray[np.float32]:
    """Resample a whole clip as the kernel does in pieces; for comparisons.

    Returns
    -------
    float32 array, shape (source.n_results,)
    """
    way = route.way
    rows = aligned(ROW * halve.BLOCK)
    work = Work(aligned(way.n_samples), aligned(way.step), rows, rows.copy(), *[aligned(0)] * 4)
    packed_source, packed_work = pack(source), pack(work)
    pieces = []
    for first in range(0, source.n_results, way.step):
        load_library().make_signal(packed_source, route.packed, packed_work, first, 0)
        pieces.append(work.signal.copy())
    return np.concatenate(pieces)[: source.n_results]


def _agrees_with_soxr(route: Route, config: FeatureConfig) -> bool:
    """Compare with soxr itself, on noise of several lengths, edges included."""
    noise = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    for n_samples in (1, 2, 501, len(noise)):
        theirs = audio.resample(noise[:n_samples], 2 * config.sample_rate, config)
        ours = resample(route, source_of(noise[:n_samples, np.newaxis])._replace(n_results=len(theirs)))
        if not np.abs(ours - theirs).max() <= _CLOSE:
            return False
    return True


def halve_with(taps: NDArray[np.float64], config: FeatureConfig) -> Route:
    """Make a route to half the rate by one filter."""
    tables = halve.make_tables(taps)
    step, n_samples = halve.results_per_step(tables), halve.samples_per_step(tables)
    gains = _gains(taps, 2 * config.sample_rate, config)
    return Route(Way(HALVE, tables, _no_phases(), step, n_samples, *gains), by_library=False)


def _filter(window: Window, rate: int, config: FeatureConfig) -> Route:
    tables = phases.make_tables(window, rate, config.sample_rate)
    samples_per_result = rate / config.sample_rate
    step = max(1, int(_STEP / max(1.0, samples_per_result)))
    n_samples = math.ceil(step * samples_per_result) + 2 * tables.weights.shape[1] + 2
    gains = _gains(kaiser_taps(window, config.sample_rate / rate), rate, config)
    return Route(Way(PHASES, _no_halving(), tables, step, n_samples, *gains), by_library=False)


def make_copy(config: FeatureConfig, *, by_library: bool) -> Route:
    """Make a route for samples that are at the configured rate, or that soxr or resampy will bring there."""
    return Route(Way(COPY, _no_halving(), _no_phases(), _STEP, 0, *_gains(None, 1, config)), by_library)


def _gains(
    taps: NDArray[np.float64] | None, rate: int, config: FeatureConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Count what a filter let pass for the transform's rounding, and what it was given for its own, if there is one.

    Returns
    -------
    gains, band_gains : float32 arrays
        See `Way`. The triangles of the bands add up to 1, so that gains at their peaks are interpolated between them.
    """
    bins, corners = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate), mel_corners(config)
    frequencies = np.concatenate((bins, corners[1:-1]))
    gains = np.ones(len(frequencies))
    if taps is not None:
        gains += _ROUNDING / np.maximum(respond(taps, frequencies / rate) ** 2, _LEAST_RESPONSE)
    gains[: len(bins)] *= _LEFT_OUT
    gains[len(bins) :] *= (corners[2:] - corners[:-2]) / 2  # a band's energy times half its width is the power in it
    at_bins, in_bands = np.split(gains.astype(np.float32), [len(bins)])
    return at_bins, in_bands


@cache
def _no_halving() -> halve.Tables:
    return halve.make_tables(np.ones(1))


@cache
def _no_phases() -> phases.Tables:
    return phases.Tables(np.zeros((1, 16), np.float32), np.zeros(1, np.int64), 1, 1.0)
