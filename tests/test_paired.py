"""The paired test over folds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.training.paired import corrected_interval, corrected_t_test, holm

ACCURACIES = st.lists(st.floats(0, 1), min_size=3, max_size=10)


@given(ACCURACIES, st.integers(0, 2**32))
def test_without_overlap_it_is_the_ordinary_paired_test(first: list[float], seed: int) -> None:
    """With no test clips per training clip the correction vanishes."""
    second = list(np.clip(np.array(first) + np.random.default_rng(seed).normal(0.05, 0.05, len(first)), 0, 1))
    expected = scipy.stats.ttest_rel(first, second).pvalue
    if np.isfinite(expected):
        assert corrected_t_test(first, second, 0.0) == pytest.approx(expected, abs=1e-9)


@given(ACCURACIES, st.floats(0.01, 1))
def test_overlap_makes_it_more_careful(first: list[float], share: float) -> None:
    """The corrected p-value is never below the ordinary one, and exchanging the two changes nothing."""
    second = [1 - value / 2 for value in first]
    careful, ordinary = (corrected_t_test(first, second, s) for s in (share, 0.0))
    assert careful >= ordinary
    assert corrected_t_test(second, first, share) == careful


def test_equal_runs_do_not_differ() -> None:
    """No difference in any fold is p = 1, and one fold can tell nothing."""
    assert corrected_t_test([0.5, 0.6], [0.5, 0.6], 0.25) == 1.0
    assert corrected_t_test([0.5], [0.7], 0.25) is None


def test_holm_is_the_text_book_example() -> None:
    """Adjusted values grow with rank, never exceed 1, and leave gaps alone."""
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06], nan_ok=True)
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(ACCURACIES, st.floats(0.01, 1), st.integers(0, 2**32))
def test_the_interval_says_what_the_test_says(first: list[float], share: float, seed: int) -> None:
    """It leaves out no difference exactly where p is below 0.05, and is around the mean difference."""
    second = list(np.random.default_rng(seed).uniform(0, 1, len(first)))
    low, high = corrected_interval(first, second, share)
    p = corrected_t_test(first, second, share)
    if abs(p - 0.05) > 1e-6:
        assert (low > 0 or high < 0) == (p < 0.05)
    assert (low + high) / 2 == pytest.approx(np.mean(first) - np.mean(second), abs=1e-9)


def test_one_split_has_no_interval() -> None:
    """It tells nothing of spread."""
    assert corrected_interval([0.5], [0.7], 0.25) is None
