"""Buffers that live from clip to clip."""

from __future__ import annotations

import pytest

from us8k_batch.features.fast.buffers import Buffer, aligned


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_arrays_begin_at_a_cache_line(size: int) -> None:
    """An array has the size that was asked for, and begins at a multiple of 64 bytes."""
    values = aligned(size)
    assert len(values) == size
    assert values.ctypes.data % 64 == 0


def test_a_buffer_is_kept() -> None:
    """A smaller or equal request gets the same memory."""
    buffer = Buffer()
    first = buffer.at_least(1000)
    assert len(first) >= 1000
    assert buffer.at_least(1000) is buffer.at_least(10) is first
    assert len(buffer.at_least(2000)) >= 2000


def test_a_huge_buffer_is_given_back() -> None:
    """What one very long clip needed does not stay for the short ones after it."""
    buffer = Buffer()
    assert len(buffer.at_least((1 << 24) + 1)) > 1 << 24
    assert len(buffer.at_least(10)) == 10
