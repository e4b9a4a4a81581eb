"""What a model is given of each clip: a feature set, or all frames."""

from __future__ import annotations

from pathlib import Path

from us8k_batch.errors import RequestError
from us8k_batch.training.data import Dataset
from us8k_batch.training.featuresets import FeatureSet, load_features, statistics_of
from us8k_batch.training.frames import load_frames
from us8k_batch.training.models import ModelSpec

FRAMES = "frames"
"""Name of what is no feature set: all frames of a clip."""


def choose_features(spec: ModelSpec, asked: str | None, protocol: str) -> str:
    """Return the name of what a model is given.

    Raises
    ------
    RequestError
        If what was asked for is unknown, or the model cannot learn from it.
    """
    own = _own(spec, protocol)
    name = asked or own
    if (name == FRAMES) != (spec.takes == "frames"):
        expected = FRAMES if spec.takes == "frames" else f"a feature set, such as {own}"
        raise RequestError(f"model {spec.name} cannot learn from {name!r}; expected {expected}")
    if name != FRAMES:
        statistics_of(name)
    return name


def _own(spec: ModelSpec, protocol: str) -> str:
    """Return what a model is given unless asked: the tutorial's means for its protocol, else what suits the model."""
    if spec.takes == "frames":
        return FRAMES
    return "mean" if protocol == "article" else spec.features


def load_inputs(data: Dataset, name: str, cache: Path | None = None) -> FeatureSet:
    """Load a feature set, or the frames, of all clips; see `load_features` and `load_frames`."""
    if name != FRAMES:
        return load_features(data, name, cache)
    columns = tuple(f"mfcc_{i:02d}" for i in range(data.config.n_mfcc))
    return FeatureSet(FRAMES, (), columns, load_frames(data, cache))
