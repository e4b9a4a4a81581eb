"""What a worker keeps between tasks: decoders, and what each of them has behind it."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from us8k_batch.config import FeatureConfig
from us8k_batch.features.decoder import Decoder
from us8k_batch.features.fast.sha256 import Hasher, can_be_trusted
from us8k_batch.heap import keep_freed_memory

if TYPE_CHECKING:
    from us8k_batch.features.fast.library import Library

KEPT_NEEDS = 4
"""Configurations whose decoders are kept on a worker: runs that share it take turns."""
KEPT_BYTES = 2 << 30
"""Memory that decoders which no task is using may hold together when another configuration needs one, in bytes."""
IDLE_SECONDS = 60.0
"""How long decoders are kept that no task asks for, as after a client that was killed."""


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
        self._timer: threading.Timer | None = None
        self._library: Library | None = None
        self.fit_for: deque[object] = deque(maxlen=8)
        """What this worker was found fit for, the last of it; so that it is not inspected before every task."""

    @contextlib.contextmanager
    def bench(self, needs: Needs) -> Iterator[Bench]:
        """Lend a bench; those for other needs are kept beside it, within `KEPT_NEEDS` and `KEPT_BYTES`."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            bench = next((bench for bench in reversed(self._free) if bench.needs == needs), None)
            if bench is not None:
                self._free.remove(bench)
                unfit = []
            else:
                unfit = self._superfluous(needs)
                bench = Bench(needs, self.make_decoder(needs))
                self._benches.append(bench)
        for other in unfit:
            other.decoder.close()
        try:
            yield bench
        finally:
            with self._lock:
                if bench in self._benches:
                    self._free.append(bench)
                if len(self._free) == len(self._benches):
                    self._wait_for_idleness()

    def _superfluous(self, needs: Needs) -> list[Bench]:
        """Take away free benches, those longest unused first, that leave no room for one with such needs."""
        unfit: list[Bench] = []
        others = [bench for bench in self._free if bench.needs != needs]
        kept = sum(_resident_bytes(bench.decoder) for bench in others)
        while others and (kept > KEPT_BYTES or len({needs, *(b.needs for b in self._benches)}) > KEPT_NEEDS):
            bench = others.pop(0)
            kept -= _resident_bytes(bench.decoder)
            self._free.remove(bench)
            self._benches.remove(bench)
            unfit.append(bench)
        return unfit

    def _wait_for_idleness(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(IDLE_SECONDS, self.close_idle)
        self._timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no more threads are allowed
            self._timer.start()

    def close_idle(self) -> None:
        """Stop the decoders that no task is using: at the end of a run, or if its client was killed, later."""
        with self._lock:
            free, self._free = self._free, []
            self._benches = [bench for bench in self._benches if bench not in free]
        for bench in free:
            bench.decoder.close()

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
            if self._timer is not None:
                self._timer.cancel()
            benches, self._benches, self._free = self._benches, [], []
        for bench in benches:
            bench.decoder.close()


def _resident_bytes(decoder: Decoder) -> int:
    """Return the memory that a decoder's child has now; 0 if there is none."""
    pid = decoder.pid
    with contextlib.suppress(psutil.Error):
        return 0 if pid is None else int(psutil.Process(pid).memory_info().rss)
    return 0
