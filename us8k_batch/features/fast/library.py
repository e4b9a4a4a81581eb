"""The kernels as functions: what Python calls of them, on packed arguments."""

from __future__ import annotations

import json
import logging
import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.arguments import Source
from us8k_batch.features.fast.machine_code import open_machine_code
from us8k_batch.features.fast.object_code import BROKEN, ObjectCode
from us8k_batch.features.fast.words import Packed, pack

logger = logging.getLogger(__name__)


class Library:
    """The kernels' entries; the interpreter's lock is released while they run."""

    def __init__(self, data: bytes, *, compiled: bool) -> None:
        """Load what `kernels.entries` compiled: the layouts of the entries' arguments, and an object file."""
        layouts, _, code = data.partition(b"\n")
        self._layouts: dict[str, list[str]] = json.loads(layouts)
        entries = ObjectCode(code)
        self._functions = {name: entries.function(name, len(layout)) for name, layout in self._layouts.items()}
        self.compiled = compiled
        """Whether this process compiled it."""

    def read_mono(self, source: Source, first: int, mono: NDArray[np.float32]) -> bool:
        """Read a part of a clip; see `kernels.mono.read_mono`."""
        return self._call("read_mono", pack(source), pack(first), pack(mono))

    def make_signal(self, source: Packed, way: Packed, work: Packed, first: int, at: int) -> bool:
        """Make the results of one step; see `kernels.extract.make_signal`."""
        return self._call("make_signal", source, way, work, pack((first, at)))

    def extract(
        self, source: Packed, way: Packed, tables: Packed, work: Packed, mfcc: Packed, moments: Packed
    ) -> bool:
        """Compute the MFCC frames of one clip and their moments; see `kernels.extract` and `take_moments`."""
        return self._call("extract", source, way, tables, work, mfcc, moments)

    def take_moments(self, mfcc: Packed) -> NDArray[np.float64]:
        """Compute means and deviations, shape (2, n_mfcc); see `kernels.pooling.take_moments`."""
        moments = np.empty((2, len(mfcc.values)))
        self._call("take_moments", mfcc, pack(moments))
        return moments

    @property
    def can_hash(self) -> bool:
        """Whether the processor has instructions for `hash_pair`."""
        return "hash_pair" in self._functions

    def hash_pair(self, one: Packed, other: Packed, work: Packed) -> None:
        """Compute the digests of two messages; see `kernels.sha256`."""
        self._call("hash_pair", one, other, work)

    def _call(self, name: str, *arguments: Packed) -> bool:
        layouts = [packed.layout for packed in arguments]
        if layouts != self._layouts[name]:  # machine code would take any word for any thing
            raise TypeError(f"{name} was called with {layouts}; expected {self._layouts[name]}")
        told = self._functions[name](*[packed.address for packed in arguments])
        if told == BROKEN:
            raise RuntimeError(f"the kernel {name} refused its arguments")
        return bool(told)


@cache
def load_library() -> Library:
    """Load the kernels; compile them first where no process of this machine has done so, for about 20 s."""
    start = time.perf_counter()
    data, compiled = open_machine_code().load(_compile)
    library = Library(data, compiled=compiled)
    logger.info("kernels %s in %.2f s", "compiled" if compiled else "loaded", time.perf_counter() - start)
    return library


def find_library() -> Library | None:
    """Load the kernels if they were compiled before, for a process that should not spend time and memory on it."""
    if load_library.cache_info().currsize:
        return load_library()
    data = open_machine_code().find()
    return None if data is None else Library(data, compiled=False)


def _compile() -> bytes:
    from us8k_batch.features.fast.kernels.entries import compile_entries

    return compile_entries()
