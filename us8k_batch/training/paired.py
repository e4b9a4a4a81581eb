"""Is one run better than another? A paired test over the splits that both were tested on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def corrected_t_test(first: Sequence[float], second: Sequence[float], test_share: float) -> float | None:
    """Test whether two models differ, by the corrected resampled t-test.

    Parameters
    ----------
    first, second : sequences of float
        Accuracies of both on the same splits, in the same order.
    test_share : float
        Number of test clips per number of training clips, on the average of the splits.

    Returns
    -------
    float or None
        Two-sided p-value; 1 if all differences are 0; None if there are fewer than two splits.

    Notes
    -----
    Training sets of different folds overlap, which an ordinary paired t-test takes for independent evidence
    and so finds differences that are none; the correction widens the variance by ``test_share``. A signed
    rank test is no way out: with five folds its p-value cannot fall below 0.0625, whatever was measured.

    References
    ----------
    Nadeau & Bengio 2003, Machine Learning 52.
    """
    from scipy.stats import t

    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n = len(differences)
    if n < 2:
        return None
    if not differences.any():
        return 1.0
    variance = (1 / n + test_share) * differences.var(ddof=1)
    if variance == 0:
        return 0.0
    return float(2 * t.sf(abs(differences.mean()) / math.sqrt(variance), n - 1))


def corrected_interval(
    first: Sequence[float], second: Sequence[float], test_share: float
) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the mean difference, as the test of `corrected_t_test` has it.

    Returns
    -------
    (float, float) or None
        None if there are fewer than two splits.
    """
    from scipy.stats import t

    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n = len(differences)
    if n < 2:
        return None
    half = float(t.ppf(0.975, n - 1)) * math.sqrt((1 / n + test_share) * differences.var(ddof=1))
    return float(differences.mean()) - half, float(differences.mean()) + half


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for having been looked at together (Holm 1979); None stays None."""
    adjusted: list[float | None] = [None] * len(p_values)
    ordered = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, i) in enumerate(ordered):
        largest = max(largest, min(1.0, p * (len(ordered) - rank)))
        adjusted[i] = largest
    return adjusted
