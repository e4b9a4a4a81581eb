"""Pairs of clips are hashed as OpenSSL hashes each, or by OpenSSL."""

from __future__ import annotations

import hashlib
import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.features.fast import library
from us8k_batch.features.fast.kernels.entries import compile_object
from us8k_batch.features.fast.kernels.sha256 import supported
from us8k_batch.features.fast.library import Library, find_library, load_library
from us8k_batch.features.fast.sha256 import Hasher, can_be_trusted

LENGTHS = st.one_of(st.integers(0, 300), st.integers(10_000, 10_200))


def openssl(sources: list[bytes]) -> list[str]:
    """Hash each by OpenSSL."""
    return [hashlib.sha256(source).hexdigest() for source in sources]


@pytest.mark.parametrize("by_kernel", [True, False])
@given(lengths=st.lists(LENGTHS, max_size=5), offset=st.integers(0, 64))
def test_each_has_its_own_digest(by_kernel: bool, lengths: list[int], offset: int) -> None:
    """Whatever the lengths of a pair are, wherever it lies in memory, and if one is left over."""
    sources = [random.Random(i).randbytes(length) for i, length in enumerate(lengths)]
    kernels = load_library() if by_kernel and supported() else None
    rooms = [bytes(offset) + source for source in sources]
    assert Hasher(kernels).digests([memoryview(room)[offset:] for room in rooms]) == openssl(sources)


def test_it_is_trusted_where_the_processor_has_the_instructions() -> None:
    """The kernel is compiled for processors that have them, and gives OpenSSL's digests there."""
    assert can_be_trusted(load_library()) is supported()


def test_a_kernel_without_the_instructions() -> None:
    """On another processor there is none in the library, which is not an error."""
    without = Library(b"{}\n" + compile_object({}), compiled=False)
    assert not can_be_trusted(without)


@pytest.mark.skipif(not supported(), reason="this processor has no instructions for sha256")
def test_a_kernel_that_is_wrong_is_found_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A digest that OpenSSL would not give is never written."""
    usual = Library.hash_pair

    def wrong(self: Library, one, other, work) -> None:  # type: ignore[no-untyped-def]
        usual(self, one, other, work)
        work.values.digests[0] ^= len(other.values) == 1000

    monkeypatch.setattr(Library, "hash_pair", wrong)
    assert not can_be_trusted.__wrapped__(load_library())
    assert "OpenSSL" in caplog.text


def test_a_machine_on_which_nothing_was_compiled(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A process that only hashes does not wait for the kernels, nor compile them; unless it has them loaded."""
    assert find_library() is load_library()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(library, "load_library", cache(lambda: pytest.fail("it loads what is not there")))
    assert find_library() is None
