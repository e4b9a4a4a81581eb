"""zstd frames from a stranger: headers are read as the format says, and nothing decodes to more than it should."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.zstd import Zstd

from us8k_batch.store.zstd import bounded_decode, frame_length, read_header


@given(st.binary(min_size=1, max_size=100_000), st.sampled_from([-5, 1, 19]), st.booleans())
def test_a_frame_is_as_long_as_its_blocks_say(content: bytes, level: int, checksum: bool) -> None:
    """Header, blocks and checksum make up all of it, and what follows is not counted."""
    data = Zstd(level=level, checksum=checksum).encode(content)
    assert read_header(data).content == len(content)
    assert frame_length(data) == frame_length(data + b"more") == len(data)
    assert bounded_decode(data, len(content)) == content


@pytest.mark.parametrize("size", [0, 255, 256, 65_791, 65_792, 1 << 20])
def test_every_width_of_the_size_is_read(size: int) -> None:
    """One, two and four bytes, the second with its offset."""
    data = Zstd(level=1, checksum=True).encode(bytes(size) if size else b"x")
    assert read_header(data).content == (size or 1)


def test_a_bomb_is_refused_before_memory_is_taken() -> None:
    """A gigabyte of zeros in 33 KB."""
    data = Zstd(level=1).encode(np.zeros(1 << 28, np.uint8))
    tracemalloc.start()
    with pytest.raises(ValueError, match="promises 268435456 bytes, expected one of 4096"):
        bounded_decode(data, 4096)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@given(st.binary(max_size=64))
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """One kind of error, with and without the magic number."""
    for damaged in (data, bytes.fromhex("28b52ffd") + data):
        with pytest.raises(ValueError, match=r".+"):
            bounded_decode(damaged, 1 << 20)
