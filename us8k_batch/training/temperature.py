"""Probabilities that can be believed, for a classifier whose own cannot or that only gives scores."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from us8k_batch.training.splits import grouped_parts

HOTTEST = 100.0
"""The temperature is looked for between this and its inverse."""
LEAST = 1e-3
"""Least probability that is taken for one; the trees of a forest are too few to tell less from nothing."""


class TemperatureScaled(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Softmax of a classifier's scores, at the temperature that fits scores it gave to clips it had not learnt.

    The scores come from inner parts of the training clips that keep every recording on one side. One number
    for all classes leaves the order of the scores as it is, so the accuracy is the classifier's own. A class of
    which an inner part leaves nothing to learn takes no part in that one's scores; if none is left anywhere, the
    temperature is 1.

    Parameters
    ----------
    estimator : classifier
        Cloned, never fitted itself. Its scores are what ``decision_function`` gives, or the logarithms of its
        probabilities if it has none.
    parts : int
        Number of inner parts.
    random_state : int
        Which inner parts are drawn.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, ICML.
    """

    def __init__(self, estimator: Any = None, parts: int = 3, random_state: int = 0) -> None:
        self.estimator = estimator
        self.parts = parts
        self.random_state = random_state

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> Self:  # noqa: N803
        """Learn from clips; `groups` are the codes of their recordings, -1 where unknown."""
        groups = np.full(len(y), -1, dtype=np.int64) if groups is None else groups
        self.classes_, codes = np.unique(y, return_inverse=True)
        scores = np.full((len(y), len(self.classes_)), -np.inf)
        scored = np.zeros(len(y), dtype=np.bool_)
        for train, asked in self._inner_parts(codes, groups):
            learnt = np.unique(codes[train])
            test = asked[np.isin(codes[asked], learnt)]
            if len(learnt) > 1 and len(test):
                fitted = clone(self.estimator).fit(X[train], codes[train])
                scores[np.ix_(test, learnt)] = _scores(fitted, X[test])
                scored[test] = True
        self.temperature_ = _fit_temperature(scores[scored], codes[scored]) if scored.any() else 1.0
        self.uncalibrated_ = np.setdiff1d(np.arange(len(self.classes_)), codes[scored])
        self.estimator_ = clone(self.estimator).fit(X, codes)
        return self

    def _inner_parts(
        self, codes: NDArray[np.int64], groups: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        recordings = len(np.unique(groups[groups >= 0])) + int((groups < 0).sum())
        parts = min(self.parts, recordings, int(np.bincount(codes).max()))
        return [] if parts < 2 else grouped_parts(codes, groups, parts, self.random_state)

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of every class, shape (n, n_classes)."""
        return _softmax(_scores(self.estimator_, X) / self.temperature_)

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: N803
        """Return the most probable class of each row."""
        likeliest: NDArray[np.int64] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return likeliest


def _scores(estimator: Any, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    if not hasattr(estimator, "decision_function"):
        logarithms: NDArray[np.float64] = np.log(np.maximum(estimator.predict_proba(rows), LEAST))
        return logarithms
    scores: NDArray[np.float64] = estimator.decision_function(rows)
    return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def _fit_temperature(scores: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(codes))

    def loss(logarithm: float) -> float:
        likelihood = _softmax(scores / np.exp(logarithm))[rows, codes]
        return float(-np.log(np.maximum(likelihood, 1e-12)).mean())

    bounds = (-np.log(HOTTEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
