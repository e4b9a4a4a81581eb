"""What the pooled vectors tell: the mean of each class, and a map of the clips by principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.gallery.choose import Places, spread
from us8k_batch.store.reader import Store

POINTS = 10_000
"""Most clips on the map."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassMeans:
    """Mean MFCC of the clips of each class."""

    labels: list[str]
    means: NDArray[np.float64]
    """Shape (classes, n_mfcc): mean over a class's clips of their mean coefficients."""
    deviations: NDArray[np.float64]
    """The same, less the mean over all clips, in standard deviations over all clips; 0 where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipMap:
    """Clips in two dimensions."""

    places: Places
    """Which clips, by their place in the store's table."""
    at: NDArray[np.float64]
    """Shape (clips, 2): first and second principal component of their standardised pooled vectors."""
    shares: tuple[float, float]
    """Share of the variance along each."""


def class_means(store: Store) -> ClassMeans | None:
    """Average the mean coefficients by class, one column after the other; None if the store does not hold means."""
    table = store.table
    names = [f"mfcc_mean_{i:02d}" for i in range(store.config.n_mfcc)]
    if not len(table) or not set(names) <= set(table.column_names):
        return None
    means, deviations, labels = [], [], []
    for name in names:
        values = table[name].cast(pa.float64())
        grouped = (
            pa.table({"label": table["label"], "value": values}).group_by("label").aggregate([("value", "mean")])
        )
        grouped = grouped.sort_by("label")
        labels = grouped["label"].to_pylist()
        mean = grouped["value_mean"].to_numpy()
        spread_out = pc.stddev(values).as_py() or np.inf
        means.append(mean)
        deviations.append((mean - pc.mean(values).as_py()) / spread_out)
    return ClassMeans(labels, np.array(means).T, np.array(deviations).T)


def clip_map(store: Store) -> ClipMap | None:
    """Project the pooled vectors of at most `POINTS` clips to two dimensions; None if there are fewer than three.

    Each number is first standardised over these clips, so that none counts for more because its unit is smaller. The
    sign of a component is chosen so that its largest weight is positive: the same store, the same map.
    """
    table = store.table
    places = spread(table, POINTS)
    if len(places) < 3:
        return None
    chosen = table.select(store.pooled_names).take(pa.array(places))
    vectors = np.stack([column.to_numpy() for column in chosen.columns], axis=1).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    scale = vectors.std(axis=0)
    vectors = vectors[:, scale > 0] / scale[scale > 0]
    if vectors.shape[1] < 2:
        return None
    # The matrix of covariances is small whatever the number of clips.
    variances, directions = np.linalg.eigh(vectors.T @ vectors / len(vectors))
    first = directions[:, [-1, -2]]
    first *= np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    shares = variances[[-1, -2]] / variances.sum()
    return ClipMap(places, vectors @ first, (float(shares[0]), float(shares[1])))
