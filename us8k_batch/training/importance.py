"""What a model's features are worth to it: how much accuracy goes on test clips when some are exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.training.frames import ClipFrames, frames_of
from us8k_batch.training.models import Model

ASKED = 250
"""Test clips that a fitted model is asked about for each group of features; fewer ones are asked about again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of a feature set stand for: statistic by statistic, each over all coefficients."""

    statistics: tuple[str, ...]
    """None for all frames of a clip, which have coefficients alone."""
    n_mfcc: int

    def groups(self) -> dict[str, dict[str, NDArray[np.int64]]]:
        """Return the columns that are exchanged together, by kind and name.

        Single columns would say little: the statistics of one coefficient tell much the same, so that a model
        can do without any one of them.
        """
        places = np.arange(self.n_mfcc * max(1, len(self.statistics))).reshape(-1, self.n_mfcc)
        found = {"coefficient": {str(i): places[:, i] for i in range(self.n_mfcc)}}
        if len(self.statistics) > 1:
            found["statistic"] = dict(zip(self.statistics, places, strict=True))
        return found


def importances(
    model: Model, rows: Any, y: NDArray[np.int64], layout: Layout, seed: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Ask a fitted model about clips whose features are partly those of other clips.

    Parameters
    ----------
    model : Model
        Fitted on other clips than these; it learns nothing here.
    rows : float32 array of shape (n_clips, n_columns), or ClipFrames
        The clips that it is tested on.
    y : int64 array, shape (n_clips,)
        Codes of their labels.
    layout : Layout
        What the columns stand for.
    seed : sequence of int
        What is drawn from: which clips, and whose features they get.

    Returns
    -------
    dict
        By kind and name of a group: the accuracy that is lost with it, as a share of the clips; about 0, and by
        chance below, where the model does without.

    References
    ----------
    Breiman 2001, Random forests, Machine Learning 45: permutation importance.
    """
    rng = np.random.default_rng(list(seed))
    chosen = rng.permutation(len(y))[:ASKED]
    asked = np.tile(chosen, max(1, ASKED // len(chosen)))
    givers = np.concatenate([rng.permutation(chosen) for _ in range(len(asked) // len(chosen))])
    before = _accuracy(model, rows[chosen], y[chosen])
    return {
        kind: {
            name: before - _accuracy(model, _exchanged(rows, asked, givers, columns), y[asked])
            for name, columns in groups.items()
        }
        for kind, groups in layout.groups().items()
    }


def summarise(by_split: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Return what ``run.json`` says: by kind and name, the loss of accuracy in each split."""
    first = next(iter(by_split.values()))
    return {
        kind: {name: {split: round(found[kind][name], 6) for split, found in by_split.items()} for name in names}
        for kind, names in first.items()
    }


def _accuracy(model: Model, rows: Any, y: NDArray[np.int64]) -> float:
    return float((np.asarray(model.predict_proba(rows)).argmax(axis=1) == y).mean())


def _exchanged(rows: Any, asked: NDArray[np.int64], givers: NDArray[np.int64], columns: NDArray[np.int64]) -> Any:
    """Return the clips that are asked about, with some columns from others."""
    if isinstance(rows, ClipFrames):
        return _exchanged_frames(rows, asked, givers, columns)
    mixed = np.array(rows[asked])
    mixed[:, columns] = rows[givers][:, columns]
    return mixed


def _exchanged_frames(
    rows: ClipFrames, asked: NDArray[np.int64], givers: NDArray[np.int64], columns: NDArray[np.int64]
) -> ClipFrames:
    own, other = rows.places[asked], rows.places[givers]
    lengths = rows.n_frames[own]
    mixed = np.array(rows.values[own, :, : int(lengths.max())])
    for clip, place, length in zip(mixed, other, lengths, strict=True):
        given = rows.values[place, :, : rows.n_frames[place]][columns]
        # A clip that is shorter than the one it gives to begins again.
        clip[columns, :length] = np.take(given, np.arange(length), axis=1, mode="wrap")
    return frames_of(mixed, lengths)
