"""What a worker keeps between tasks: decoders, and what each of them has behind it."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from us8k_batch.config import FeatureConfig
from us8k_batch.features.decoder import Decoder
from us8k_batch.features.fast.sha256 import Hasher, can_be_trusted
from us8k_batch.heap import keep_freed_memory

if TYPE_CHECKING:
    from us8k_batch.features.fast.library import Library


@dataclass(frozen=True, slots=True)
class Needs:
    """What a decoder is made for."""

    config: FeatureConfig
    engine: str
    """Which engine computes."""
    clip_memory: int
    """Memory that decoding one clip may take, in bytes."""
    clip_seconds: float
    """Time that one clip may take beside its own duration, in seconds."""


@dataclass(eq=False, slots=True)
class Bench:
    """A decoder, for one task at a time."""

    needs: Needs
    decoder: Decoder
    behind: threading.Lock = field(default_factory=threading.Lock)
    """Held while the results of one shard, which were computed here, are written beside the next one's work."""


class Workshop:
    """What a worker keeps between tasks: as many benches as tasks work at the same time."""

    def __init__(
        self,
        step_aside: Callable[[], None] = lambda: None,
        on_compiling: Callable[[float], object] | None = None,
    ) -> None:
        """Keep nothing yet.

        Parameters
        ----------
        step_aside : callable
            Called in a task: from then on the worker may begin another one beside it.
        on_compiling : callable, optional
            See `Decoder`.
        """
        keep_freed_memory()
        self.step_aside = step_aside
        self._on_compiling = on_compiling
        self._benches: list[Bench] = []
        self._free: list[Bench] = []
        self._lock = threading.Lock()
        self._library: Library | None = None
        self.fit_for: deque[object] = deque(maxlen=8)
        """What this worker was found fit for, the last of it; so that it is not inspected before every task."""

    @contextlib.contextmanager
    def bench(self, needs: Needs) -> Iterator[Bench]:
        """Lend a bench; one whose decoder was made for other needs is replaced."""
        unfit = None
        with self._lock:
            bench = next((bench for bench in self._free if bench.needs == needs), None)
            if bench is not None:
                self._free.remove(bench)
            else:
                unfit = self._free.pop() if self._free else None
                bench = Bench(needs, self.make_decoder(needs))
                self._benches = [*(kept for kept in self._benches if kept is not unfit), bench]
        if unfit is not None:
            unfit.decoder.close()
        try:
            yield bench
        finally:
            with self._lock:
                self._free.append(bench)

    def make_decoder(self, needs: Needs) -> Decoder:
        """Make a decoder; nothing is started yet."""
        return Decoder(
            needs.config,
            needs.engine,
            memory_bytes=needs.clip_memory,
            deadline_seconds=needs.clip_seconds,
            on_compiling=self._on_compiling,
        )

    def hasher(self) -> Hasher:
        """Make what hashes clips; by the kernels once a decoder of this machine has compiled them."""
        # LLVM is for workers: the client and the scheduler import this module too.
        from us8k_batch.features.fast.library import find_library

        with self._lock:
            if self._library is None:
                found = find_library()
                self._library = found if found is not None and can_be_trusted(found) else None
            return Hasher(self._library)

    def close(self) -> None:
        """Stop all decoders."""
        with self._lock:
            benches, self._benches, self._free = self._benches, [], []
        for bench in benches:
            bench.decoder.close()
