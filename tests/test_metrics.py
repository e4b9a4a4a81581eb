"""Scores against scikit-learn's, and their edge cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_score, recall_score

from us8k_batch.training import metrics
from us8k_batch.training.metrics import interval, score

CLASSES = ["a", "b", "c"]


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[metrics.Tested], np.ndarray]:
    """Draw what models say of clips in two to five splits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(1, 30), min_size=2, max_size=5))
    y = rng.integers(3, size=sum(sizes))
    order, start, parts = rng.permutation(len(y)), 0, []
    for i, size in enumerate(sizes):
        clips = order[start : start + size]
        sure = draw(st.sampled_from([0.1, 1.0, 20.0]))
        shares = 0.97 * rng.dirichlet(np.ones(3) / sure, size) + 0.01
        parts.append(metrics.Tested(str(i), clips, shares.astype(np.float32)))
        start += size
    return parts, y


@settings(max_examples=30)
@given(answers())
def test_scores_are_scikit_learns(drawn: tuple[list[metrics.Tested], np.ndarray]) -> None:
    """Accuracy by split, pooled confusion, precision, recall, F1 and log loss agree with the reference."""
    parts, y = drawn
    got = score(parts, y, CLASSES)
    right = np.concatenate([y[part.clips] for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts]).astype(np.float64)
    said = probabilities.argmax(axis=1)
    for part in parts:
        assert got.folds[part.name] == accuracy_score(y[part.clips], part.probabilities.argmax(axis=1))
    assert np.array_equal(got.confusion, confusion_matrix(right, said, labels=[0, 1, 2]))
    present = sorted(set(right))
    assert got.macro_f1 == pytest.approx(f1_score(right, said, labels=present, average="macro", zero_division=0))
    precisions = precision_score(right, said, labels=[0, 1, 2], average=None, zero_division=np.nan)
    recalls = recall_score(right, said, labels=[0, 1, 2], average=None, zero_division=np.nan)
    for code, name in enumerate(CLASSES):
        one = got.per_class[name]
        measured = [np.nan if value is None else value for value in (one.precision, one.recall)]
        assert measured == pytest.approx([precisions[code], recalls[code]], nan_ok=True)
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    assert got.log_loss == pytest.approx(log_loss(right, shares, labels=[0, 1, 2]), rel=1e-3)
    json.dumps(got.to_dict(), allow_nan=False)


@settings(max_examples=30)
@given(answers())
def test_reliability_bins_hold_every_clip_once(drawn: tuple[list[metrics.Tested], np.ndarray]) -> None:
    """Each clip is in the bin of its confidence, and the calibration error is the bins' weighted distance."""
    parts, y = drawn
    got = score(parts, y, CLASSES)
    assert sum(b.clips for b in got.reliability) == len(y)
    for b in got.reliability:
        assert b.clips == 0 or b.low - 1e-9 <= b.confidence <= b.high + 1e-9
    distance = sum(b.clips * abs(b.confidence - b.accuracy) for b in got.reliability if b.clips) / len(y)
    assert got.expected_calibration_error == pytest.approx(distance)


def test_only_counted_clips_count() -> None:
    """Clips that are left out change the score as if they had never been tested; empty splits vanish."""
    y = np.array([0, 1, 0, 1])
    sure = np.eye(2, dtype=np.float32)
    parts = [metrics.Tested("1", np.array([0, 1]), sure[[0, 0]]), metrics.Tested("2", np.array([2, 3]), sure[[1, 1]])]
    assert score(parts, y, ["a", "b"]).accuracy_mean == 0.5
    got = score(parts, y, ["a", "b"], np.array([True, False, False, False]))
    assert (got.folds, got.clips) == ({"1": 1.0}, {"1": 1})


def test_the_interval_is_students() -> None:
    """Four folds give the interval of the t distribution with three degrees of freedom, cut at 0 and 1."""
    accuracies = np.array([0.7, 0.75, 0.8, 0.6])
    low, high = scipy.stats.t.interval(0.95, 3, accuracies.mean(), accuracies.std(ddof=1) / 2)
    assert interval(accuracies) == pytest.approx((low, high))
    assert interval(np.array([0.0, 1.0])) == (0.0, 1.0)
    assert interval(np.array([0.5])) is None


def test_one_split_has_no_spread() -> None:
    """A single split has neither a standard deviation nor an interval, rather than 0."""
    got = score(
        [metrics.Tested("article", np.array([0]), np.array([[0.9, 0.1]], np.float32))], np.array([0]), ["a", "b"]
    )
    assert (got.accuracy_std, got.accuracy_interval, got.accuracy_mean) == (None, None, 1.0)
    assert got.per_class["b"].recall is None
