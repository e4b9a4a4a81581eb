"""JSON from a stranger: read, or refused for what it is."""

from __future__ import annotations

import pytest

from us8k_batch.documents import LARGEST, natural, read_document


@pytest.mark.parametrize("data", [b'{"a": [1, 2.5, null, "x"]}', '{"a": [1, 2.5, null, "x"]}'])
def test_an_object_is_read(data: bytes | str) -> None:
    """Plain values come back."""
    assert read_document(data) == {"a": [1, 2.5, None, "x"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": 1e999}', "beyond what a float64 holds"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b"[]", "found list"),
        (b"{", "Expecting"),
        (b"\xff", "decode"),
        (b'{"a": "' + b"x" * 100 + b'"}', "at most 64"),
    ],
)
def test_anything_else_is_refused(data: bytes, message: str) -> None:
    """Deep, infinite, huge, or no object: one kind of error, whatever it is."""
    with pytest.raises(ValueError, match=message):
        read_document(data, most=64 if message == "at most 64" else 1 << 30)


@pytest.mark.parametrize("value", [-1, LARGEST, 1.0, True, "1", None, [1]])
def test_what_cannot_be_counted_with_is_refused(value: object) -> None:
    """Negative, huge, or no whole number."""
    with pytest.raises(ValueError, match="expected a whole number from 0"):
        natural(value)


def test_whole_numbers_are_natural() -> None:
    """From nothing to the largest."""
    assert [natural(value) for value in (0, 1, LARGEST - 1)] == [0, 1, LARGEST - 1]
