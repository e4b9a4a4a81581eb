"""Constants of the spectrum's part of the kernel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from us8k_batch.config import FeatureConfig
from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.fast.spectrum import make_tables
from us8k_batch.features.mel import cosine_transform, mel_filters


@settings(max_examples=60, derandomize=True)
@given(
    n_fft=st.sampled_from([512, 2048, 8192]),
    n_mels=st.integers(1, 400),
    share=st.floats(0, 1),
    fmin=st.floats(0, 300),
    fmax=st.none() | st.floats(2000, 8000),
    rate=st.sampled_from([16000, 22050, 44100]),
)
def test_the_tables_are_the_matrices(
    n_fft: int, n_mels: int, share: float, fmin: float, fmax: float | None, rate: int
) -> None:
    """Mel filters without zeros and folded cosines say what the whole matrices say; what no filter sees is known."""
    config = FeatureConfig(
        n_fft=n_fft, n_mels=n_mels, n_mfcc=max(1, int(share * n_mels)), fmin=fmin, fmax=fmax, sample_rate=rate
    )
    tables = make_tables(config)
    half = n_fft // 2
    filters = np.zeros((n_mels, half + 2), dtype=np.float32)  # the kernel has one bin of zeros more
    for band in range(n_mels):
        weights = tables.weights[tables.first_weight[band] : tables.first_weight[band + 1]]
        assert len(weights) % 2 == 0
        filters[band, tables.first_bin[band] : tables.first_bin[band] + len(weights)] = weights
    assert np.array_equal(filters[:, : half + 1], mel_filters(config))
    assert not filters[:, half + 1].any()
    seen = np.flatnonzero(filters.any(axis=0))
    assert (tables.below, tables.above) == (seen[0], seen[-1] + 1)

    cosines = tables.cosines.swapaxes(1, 2).reshape(-1, tables.cosines.shape[1])
    assert len(cosines) == -(-config.n_mfcc // LANES) * LANES
    assert not cosines[config.n_mfcc :].any()
    unfolded = np.zeros((config.n_mfcc, n_mels))
    signs = np.where(np.arange(config.n_mfcc) % 2, -1, 1)
    for pair in range(cosines.shape[1]):
        unfolded[:, pair] += cosines[: config.n_mfcc, pair]
        unfolded[:, n_mels - 1 - pair] += signs * cosines[: config.n_mfcc, pair]
    assert np.abs(unfolded - cosine_transform(config.n_mfcc, n_mels)).max() < 1e-6


def test_bands_that_are_all_empty() -> None:
    """With bands so narrow that no frequency lies in any, there are no weights, and every frequency is left out."""
    tables = make_tables(FeatureConfig(n_fft=512, n_mels=3, n_mfcc=3, fmin=290.0, fmax=300.0))
    assert not len(tables.weights)
    assert not tables.first_weight.any()
    assert (tables.below, tables.above) == (257, 257)
