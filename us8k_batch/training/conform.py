"""Compare a document from a stranger with the shape that it should have, before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ANY_NAME = "*"
"""Name in a shape that stands for every name."""


def misfit(value: Any, shape: Any, where: str = "") -> str | None:
    """Say what of a document is not as it should be; None if all is.

    Parameters
    ----------
    value : any
        Values of JSON.
    shape : any
        A type; None; a tuple of alternatives; ``[shape]`` for a list; a dict for an object, whose names must be
        there, ``ANY_NAME`` standing for whatever names there are. ``float`` takes whole numbers too, ``int`` and
        ``float`` no bool. What a shape does not name may be there and is not looked at.
    where : str
        What the value is called, for the answer.
    """
    return next(_misfits(value, shape, where), None)


def _misfits(value: Any, shape: Any, where: str) -> Iterator[str]:
    if isinstance(shape, tuple):
        if all(misfit(value, one, where) for one in shape):
            yield from _misfits(value, shape[0], where)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for i, one in enumerate(value):
            yield from _misfits(one, shape[0], f"{where}[{i}]")
    elif isinstance(shape, Mapping):
        if not isinstance(value, dict):
            yield f"{where or 'it'} is no object"
            return
        for name in shape:
            if name != ANY_NAME and name not in value:
                yield f"{where}.{name} is missing".lstrip(".")
        for name, one in value.items():
            wanted = shape.get(name, shape.get(ANY_NAME, object))
            yield from _misfits(one, wanted, f"{where}.{name}".lstrip("."))
    elif not _is(value, shape):
        yield f"{where} is {str(value)[:40]!r}"


def _is(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if isinstance(value, bool):
        return kind in (bool, object)
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
