"""Engines: from the bytes of one clip to its features, behind one signature."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from us8k_batch.audio.opening import FileBytes
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ConfigError
from us8k_batch.features import audio, pooling
from us8k_batch.features.audio import Audio, Header, OnHeader
from us8k_batch.features.fast.claims import why_not

REVISIONS = {"fast": 2, "plain": 2, "librosa": 2}
"""Of each engine; counts up whenever its numbers change, be it by one bit."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The result of one clip."""

    mfcc: NDArray[np.float32]
    """Frames, shape (n_mfcc, n_frames), C-contiguous. Dimensionless (DCT of dB)."""
    pooled: NDArray[np.float32]
    """Statistics over the frames, shape (len(statistics) * n_mfcc,)."""
    duration: float
    """Length of the source that was decoded, in seconds."""
    seconds: dict[str, float]
    """Time spent by stage, in seconds: ``decode`` (with resampling) and ``compute``."""

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.mfcc.shape[1])


class Engine(Protocol):
    """Computes clips, one at a time."""

    def __call__(self, data: FileBytes, extension: str = "") -> Features:
        """Compute one clip from the bytes of its file and `extension_of` its path.

        Raises
        ------
        ClipError
            If there is no result.
        """


def make_engine(config: FeatureConfig, name: str, on_header: OnHeader | None = None) -> Engine:
    """Prepare an engine for one configuration; what does not depend on the clip is built here, once.

    Parameters
    ----------
    config : FeatureConfig
    name : str
        ``auto`` is the fastest one of ours that computes this configuration; ``librosa`` is librosa itself,
        which ours are measured by.
    on_header : callable, optional
        Told each clip's header before the clip is decoded.

    Returns
    -------
    Engine
        For one thread at a time.

    Raises
    ------
    ConfigError
        If there is no such engine.
    """
    chosen, reason = choose_engine(config, name)
    logger.info("engine %s-%d%s", chosen, REVISIONS[chosen], reason and f": {reason}")
    return _FACTORIES[chosen](config, on_header or _ignore)


def choose_engine(config: FeatureConfig, name: str) -> tuple[str, str]:
    """Return the engine that a name stands for with this configuration, and why not a faster one, or nothing.

    Raises
    ------
    ConfigError
        If there is no such engine.
    """
    if name == "librosa":
        return name, ""
    if name != "auto":
        raise ConfigError(f"engine {name!r}: expected one of auto, librosa")
    reason = why_not(config)
    return ("plain", f"the fast engine does not compute this: {reason}") if reason else ("fast", "")


def name_of(engine: str) -> str:
    """Return the name to ask for, to compute with the engine that `numeric_versions` told of.

    Raises
    ------
    ConfigError
        If there is no such engine.
    """
    chosen = engine.rpartition("-")[0]
    if chosen not in REVISIONS:
        raise ConfigError(f"engine {engine!r}: expected one of {', '.join(REVISIONS)}, and its revision")
    return "librosa" if chosen == "librosa" else "auto"


def numeric_versions(config: FeatureConfig, name: str) -> dict[str, str]:
    """Name the versions that decide the last bit of an engine's results; nothing heavy is imported.

    Raises
    ------
    ConfigError
        If there is no such engine.
    """
    import soundfile

    chosen, _ = choose_engine(config, name)
    packages = {"numpy", "soundfile"}
    packages |= {"soxr"} if config.res_type.startswith("soxr") else {"resampy", "numba"}
    packages |= {"fast": {"numba", "llvmlite"}, "plain": set(), "librosa": {"librosa", "scipy"}}[chosen]
    versions = {package: _version(package) for package in sorted(packages)}
    engine = f"{chosen}-{REVISIONS[chosen]}"
    return {"engine": engine, "libsndfile": soundfile.__libsndfile_version__, **versions}


@cache  # finding it out takes milliseconds, and a run asks many times
def _version(package: str) -> str:
    """Return a package's version."""
    from importlib.metadata import version

    return version(package)


def _make_fast(config: FeatureConfig, on_header: OnHeader) -> Engine:
    from us8k_batch.features.fast.engine import FastEngine

    plain = cache(_make_plain)  # when a clip needs it, which few do

    def compute_plainly(data: FileBytes, extension: str = "") -> Features:
        return plain(config, _ignore)(data, extension)

    return FastEngine(config, on_header, compute_plainly)


def _make_plain(config: FeatureConfig, on_header: OnHeader) -> Engine:
    from us8k_batch.features.mfcc import MfccKernel

    return _join(config, lambda data, extension: audio.decode(data, config, on_header, extension), MfccKernel(config))


def _make_librosa(config: FeatureConfig, on_header: OnHeader) -> Engine:
    from us8k_batch.features import reference

    return _join(
        config,
        lambda data, extension: reference.decode(data, config, on_header, extension),
        lambda samples: reference.compute_mfcc(samples, config),
    )


def _join(
    config: FeatureConfig,
    decode: Callable[[FileBytes, str], Audio],
    compute: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Engine:
    def engine(data: FileBytes, extension: str = "") -> Features:
        start = time.perf_counter()
        clip = decode(data, extension)
        decoded = time.perf_counter()
        mfcc = compute(clip.samples)
        pooled = pooling.pool(mfcc, config.statistics)
        seconds = {"decode": decoded - start, "compute": time.perf_counter() - decoded}
        return Features(mfcc, pooled, clip.duration, seconds)

    return engine


def _ignore(_header: Header) -> None:
    pass


_FACTORIES = {"fast": _make_fast, "plain": _make_plain, "librosa": _make_librosa}
