"""Pooling: statistics of exactly the frames given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from us8k_batch.config import STATISTICS, FeatureConfig
from us8k_batch.features.pooling import pool

frames = arrays(
    np.float32, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.floats(-1000, 1000, width=32)
)


@given(frames)
def test_the_vector_is_the_statistics_of_exactly_those_frames(mfcc: NDArray[np.float32]) -> None:
    """Every statistic is that of the frames in float64, rounded once; std is the population's."""
    exact = mfcc.astype(np.float64)
    expected = [exact.mean(1), exact.std(1, ddof=0), exact.min(1), exact.max(1), np.median(exact, 1)]
    pooled = pool(mfcc, STATISTICS)
    assert pooled.dtype == np.float32
    assert np.array_equal(pooled, np.concatenate(expected).astype(np.float32))


def test_the_order_is_that_of_the_names() -> None:
    """Values stand where `FeatureConfig.pooled_names` says, in whatever order statistics are asked for."""
    config = FeatureConfig(n_mfcc=2, statistics=("std", "mean"))
    mfcc = np.array([[1, 3], [10, 10]], dtype=np.float32)
    named = dict(zip(config.pooled_names, pool(mfcc, config.statistics), strict=True))
    assert named == {"mfcc_std_00": 1, "mfcc_std_01": 0, "mfcc_mean_00": 2, "mfcc_mean_01": 10}


def test_the_default_names() -> None:
    """The columns of the published table are the 40 means, then the 40 standard deviations."""
    names = FeatureConfig().pooled_names
    assert len(names) == 80
    assert (names[0], names[39], names[40], names[79]) == (
        "mfcc_mean_00", "mfcc_mean_39", "mfcc_std_00", "mfcc_std_39",
    )  # fmt: skip


@pytest.mark.parametrize("statistic", STATISTICS)
def test_one_frame_is_enough(statistic: str) -> None:
    """A clip of one frame has every statistic."""
    assert np.isfinite(pool(np.ones((3, 1), dtype=np.float32), [statistic])).all()


def test_a_large_offset_does_not_spoil_the_deviation() -> None:
    """A deviation of 0.01 around -600 survives, as it would not in float32."""
    mfcc = np.float32(-600) + np.tile(np.array([-0.01, 0.01], dtype=np.float32), (1, 5000))
    assert pool(mfcc, ["std"])[0] == pytest.approx(mfcc.astype(np.float64).std(), rel=1e-6)
