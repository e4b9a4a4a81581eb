"""Read structs of Thrift's compact protocol, in which Parquet describes itself, without trusting them."""

from __future__ import annotations

from typing import Any

DEPTH = 12
"""Structs and lists inside each other; Parquet's own need seven."""
Fields = dict[int, Any]
"""Values by field: whole numbers, bytes, bools, lists and structs; None for a floating-point number."""


def read_struct(view: memoryview, at: int) -> tuple[Fields, int]:
    """Read the struct that begins at a place; return it, and where it ends.

    Raises
    ------
    ValueError
        If it is cut off, nested too deeply, or holds what Parquet does not use.
    """
    try:
        return _struct(view, at, DEPTH)
    except IndexError:
        raise ValueError("a description is cut off") from None


def _struct(view: memoryview, at: int, depth: int) -> tuple[Fields, int]:
    if depth == 0:
        raise ValueError("a description is nested too deeply")
    fields: Fields = {}
    field = 0
    while head := view[at]:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _zigzag(view, at)
        kind = head & 15
        if kind in (1, 2):  # in a field, true and false are the type itself
            fields[field] = kind == 1
        else:
            fields[field], at = _value(view, at, kind, depth)
    return fields, at + 1


def _value(view: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (4, 5, 6):
        byte = view[at]
        # Most numbers are small, and every page of every commit of a run comes by here.
        return ((byte >> 1) ^ -(byte & 1), at + 1) if byte < 128 else _zigzag(view, at)
    if kind in (1, 2, 3):
        return view[at], at + 1
    if kind == 8:
        length, at = _varint(view, at)
        if length > len(view) - at:
            raise ValueError("a description is cut off")
        return bytes(view[at : at + length]), at + length
    if kind == 9:
        return _list(view, at, depth - 1)
    if kind == 12:
        return _struct(view, at, depth - 1)
    if kind == 7:
        return None, at + 8
    raise ValueError("a description is not what Parquet has")


def _list(view: memoryview, at: int, depth: int) -> tuple[list[Any], int]:
    head, at = view[at], at + 1
    length = head >> 4
    if length == 15:
        length, at = _varint(view, at)
    if length > len(view) - at or depth == 0:  # an element takes a byte or more
        raise ValueError("a description holds a list that is too long, or nested too deeply")
    values = []
    for _ in range(length):
        value, at = _value(view, at, head & 15, depth)
        values.append(value)
    return values, at


def _zigzag(view: memoryview, at: int) -> tuple[int, int]:
    value, at = _varint(view, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte, at = view[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("a description holds an endless number")
