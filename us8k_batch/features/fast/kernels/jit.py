"""How kernels are compiled by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract"},  # fused multiply-add only: NaN and infinity stay what they are
    "_nrt": False,  # no kernel allocates, and without reference counts none needs numba while it runs
}


def kernel(function: Function) -> Function:
    """Compile when first called; the interpreter's lock is released while it runs."""
    return cast(Function, numba.njit(**_OPTIONS)(function))


def exact(function: Function) -> Function:
    """Compile as `kernel` does, with every product rounded before it is added to anything."""
    return cast(Function, numba.njit(**{**_OPTIONS, "fastmath": False})(function))


def inlined(function: Function) -> Function:
    """Make a part of the kernels that call it, before they are compiled: that takes half the time."""
    return cast(Function, numba.njit(inline="always", **_OPTIONS)(function))
