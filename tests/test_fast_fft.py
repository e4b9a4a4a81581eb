"""Eight Fourier transforms side by side, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from us8k_batch.features.fast.buffers import aligned
from us8k_batch.features.fast.fft import LANES, ROW, make_plan
from us8k_batch.features.fast.kernels.fft import forward, inverse

SIZES = [2**n for n in range(1, 14)]


def make_signals(size: int) -> NDArray[np.complex128]:
    """Make eight complex signals, shape (size, LANES)."""
    rng = np.random.default_rng(size)
    return rng.standard_normal((size, LANES)) + 1j * rng.standard_normal((size, LANES))


def pack(signals: NDArray[np.complex128]) -> NDArray[np.float32]:
    """Lay complex numbers out as the transforms want them."""
    rows = aligned(ROW * len(signals))
    rows.reshape(-1, 2, LANES)[:, 0], rows.reshape(-1, 2, LANES)[:, 1] = signals.real, signals.imag
    return rows


def unpack(rows: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Undo `pack`."""
    real, imag = rows.reshape(-1, 2, LANES).swapaxes(0, 1).astype(np.float64)
    return real + 1j * imag


@pytest.mark.parametrize("size", SIZES)
def test_forward_is_numpys(size: int) -> None:
    """Frequency k of each transform is at row order[k], within float32's rounding of the loudest one."""
    signals, plan = make_signals(size), make_plan(size)
    rows = pack(signals)
    forward(rows, size, plan.twiddles)
    expected = np.fft.fft(signals, axis=0)
    assert sorted(plan.order[:size]) == list(range(size))
    assert plan.order[size] == plan.order[0]
    assert np.abs(unpack(rows)[plan.order[:size]] - expected).max() < 5e-7 * np.abs(expected).max()


@pytest.mark.parametrize("size", SIZES)
def test_inverse_undoes_forward(size: int) -> None:
    """Both one after the other give the signals, times their length."""
    signals, plan = make_signals(size), make_plan(size)
    rows = pack(signals)
    forward(rows, size, plan.twiddles)
    inverse(rows, size, plan.twiddles)
    assert np.abs(unpack(rows) / size - signals).max() < 2e-6


def test_the_transforms_do_not_mix() -> None:
    """A NaN in one signal stays in its transform."""
    signals, plan = make_signals(64), make_plan(64)
    signals[5, 3] = np.nan
    rows = pack(signals)
    forward(rows, 64, plan.twiddles)
    assert np.isnan(unpack(rows)).all(axis=0).tolist() == [lane == 3 for lane in range(LANES)]
