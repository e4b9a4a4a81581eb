"""Statistics over frames, against SciPy and the rules of short clips."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from us8k_batch.errors import RequestError
from us8k_batch.training.statistics import STATISTICS, column_names, describe

Frames = NDArray[np.float32]


@st.composite
def clips(draw: st.DrawFn) -> tuple[Frames, NDArray[np.int64]]:
    """Draw clips of different lengths, NaN behind each one's frames, some of them constant."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_frames = np.array(draw(st.lists(st.integers(1, 40), min_size=1, max_size=6)))
    scale = draw(st.sampled_from([1e-3, 1.0, 500.0]))
    frames = rng.normal(loc=draw(st.sampled_from([0.0, -300.0])), scale=scale, size=(len(n_frames), 3, 40))
    frames[0, 0] = frames[0, 0, 0]
    frames[np.arange(40) >= n_frames[:, None, None].repeat(3, 1)] = np.nan
    return frames.astype(np.float32), n_frames


def naive(frames: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Compute one statistic of one clip as the books do."""
    first, second = np.diff(frames, axis=1), np.diff(frames, n=2, axis=1)
    none = np.zeros(len(frames))
    varies = frames.std(axis=1) > 0
    shape = {
        "skewness": lambda: np.where(varies, np.nan_to_num(scipy.stats.skew(frames, axis=1)), 0.0),
        "kurtosis": lambda: np.where(varies, np.nan_to_num(scipy.stats.kurtosis(frames, axis=1)), 0.0),
        "mean": lambda: frames.mean(axis=1),
        "std": lambda: frames.std(axis=1),
        "variance": lambda: frames.var(axis=1),
        "min": lambda: frames.min(axis=1),
        "max": lambda: frames.max(axis=1),
        "median": lambda: np.median(frames, axis=1),
        "d1_mean": lambda: first.mean(axis=1) if first.size else none,
        "d1_variance": lambda: first.var(axis=1) if first.size else none,
        "d2_mean": lambda: second.mean(axis=1) if second.size else none,
        "d2_variance": lambda: second.var(axis=1) if second.size else none,
    }
    if name in shape:
        return shape[name]()
    return np.quantile(frames, int(name[1:]) / 100, axis=1)


@pytest.mark.filterwarnings("ignore:Precision loss")
@settings(max_examples=40)
@given(clips())
def test_every_statistic_is_the_text_book_one(drawn: tuple[Frames, NDArray[np.int64]]) -> None:
    """Clips of any lengths pooled together give what each alone gives, computed the plain way in float64."""
    frames, n_frames = drawn
    got = describe(frames, n_frames, list(STATISTICS)).reshape(len(frames), len(STATISTICS), 3)
    for clip, n in enumerate(n_frames):
        alone = frames[clip, :, :n].astype(np.float64)
        size = np.abs(alone).max() + 1.0
        for i, name in enumerate(STATISTICS):
            tolerance = 1e-6 * (size**2 if "variance" in name else 1.0 if name in ("skewness", "kurtosis") else size)
            np.testing.assert_allclose(got[clip, i], naive(alone, name), rtol=1e-5, atol=tolerance, err_msg=name)


@settings(max_examples=40)
@given(clips())
def test_all_is_finite_and_does_not_depend_on_the_company(drawn: tuple[Frames, NDArray[np.int64]]) -> None:
    """Clips of one frame or of equal frames have finite statistics, the same alone and among others."""
    frames, n_frames = drawn
    together = describe(frames, n_frames, list(STATISTICS))
    assert np.isfinite(together).all()
    alone = [describe(frames[i : i + 1], n_frames[i : i + 1], list(STATISTICS)) for i in range(len(frames))]
    assert np.array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_short_clips_follow_the_stated_rule(n_frames: int) -> None:
    """Too few frames for a derivative, or no variation, give 0."""
    frames = np.full((1, 1, 5), np.nan, np.float32)
    frames[0, 0, :n_frames] = [4.0, 6.0, 9.0][:n_frames]
    names = ["d1_mean", "d1_variance", "d2_mean", "d2_variance", "skewness", "kurtosis"]
    got = dict(zip(names, describe(frames, np.array([n_frames]), names)[0].tolist(), strict=True))
    assert got["d1_mean"] == {1: 0.0, 2: 2.0, 3: 2.5}[n_frames]
    assert got["d2_mean"] == {1: 0.0, 2: 0.0, 3: 1.0}[n_frames]
    assert got["d2_variance"] == 0.0
    assert got["kurtosis"] == pytest.approx({1: 0.0, 2: -2.0, 3: -1.5}[n_frames])


@pytest.mark.parametrize("wrong", [["mode"], [], ["mean", "mean"]])
def test_unknown_statistics_are_refused(wrong: list[str]) -> None:
    """The error lists what there is."""
    with pytest.raises(RequestError, match=r"out of mean, std, min"):
        describe(np.zeros((1, 1, 1), np.float32), np.array([1]), wrong)


def test_columns_are_named_like_the_published_ones() -> None:
    """Statistic first, then the coefficient with two digits."""
    assert column_names(["mean", "d1_mean"], 2) == [
        "mfcc_mean_00",
        "mfcc_mean_01",
        "mfcc_d1_mean_00",
        "mfcc_d1_mean_01",
    ]
