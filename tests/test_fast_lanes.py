"""Eight numbers side by side: what the kernels take for granted about them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.fast.kernels.jit import kernel
from us8k_batch.features.fast.kernels.lanes import (
    largest,
    load,
    load_columns,
    logarithm,
    maximum,
    reciprocal_above,
    spread,
    store,
    store_columns,
    total,
)

VALUES = np.random.default_rng(0).standard_normal(100).astype(np.float32)


@kernel
def _columns(source: NDArray[np.float32], target: NDArray[np.float32], middle: NDArray[np.float32]) -> None:
    columns = load_columns(source, 3, 11)
    for i in range(LANES):
        store(middle, LANES * i, columns[i])
    store_columns(target, 3, 11, columns)


@kernel
def _logarithms(values: NDArray[np.float32]) -> None:
    for i in range(0, len(values), LANES):
        store(values, i, logarithm(load(values, i)))


@kernel
def _reduce(values: NDArray[np.float32]) -> tuple[float, float]:
    eight = load(values, 0)
    return total(eight), largest(eight)


@kernel
def _raise(values: NDArray[np.float32], floor: float) -> None:
    store(values, 0, maximum(load(values, 0), spread(np.float32(floor))))


@kernel
def _reciprocals(values: NDArray[np.float32], limit: float) -> None:
    for i in range(0, len(values), LANES):
        store(values, i, reciprocal_above(load(values, i), spread(np.float32(limit))))


def test_reciprocals() -> None:
    """Over all magnitudes that powers have, within an eighth; zero for what is not above the limit."""
    values = np.geomspace(1e-10, 1e30, 8000).astype(np.float32)
    reciprocals = values.copy()
    _reciprocals(reciprocals, values[2000])
    assert not reciprocals[:2001].any()
    assert np.abs(reciprocals[2001:].astype(np.float64) * values[2001:] - 1).max() < 1 / 8


def test_columns() -> None:
    """Eight neighbours at eight places are transposed, and put back where they were; nothing else is written."""
    target, middle = np.zeros(100, np.float32), np.zeros(64, np.float32)
    _columns(VALUES, target, middle)
    places = 3 + 11 * np.arange(LANES)[:, np.newaxis] + np.arange(LANES)
    assert np.array_equal(middle.reshape(LANES, LANES).T, VALUES[places])
    expected = np.zeros(100, np.float32)
    expected[places] = VALUES[places]
    assert np.array_equal(target, expected)


def test_the_logarithm() -> None:
    """From the smallest normal number to the largest, the error is at most two units in the last place."""
    values = np.concatenate((np.geomspace(1.2e-38, 3.4e38, 80_000), np.linspace(0.5, 2, 80_000))).astype(np.float32)
    expected = np.log(values.astype(np.float64))
    _logarithms(values)
    unit = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    assert np.all(np.abs(values - expected) <= 2 * np.maximum(unit, 2**-26))


def test_sum_and_largest() -> None:
    """The sum is of all eight, and the largest is found in any place."""
    for i in range(LANES):
        values = np.roll(np.arange(-20, -20 + LANES), i).astype(np.float32)
        assert _reduce(values) == (values.sum(), values.max())


def test_the_larger_of_two() -> None:
    """Each number is raised to the floor by itself."""
    values = VALUES[:LANES].copy()
    _raise(values, 0.1)
    assert np.array_equal(values, np.maximum(VALUES[:LANES], np.float32(0.1)))
