"""One decoder child from its parent's side: start it, exchange messages under a deadline, end it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from us8k_batch.audio.opening import FileBytes
from us8k_batch.errors import JobError
from us8k_batch.features.handover import Outgoing
from us8k_batch.features.wire import (
    COMPILED,
    OUT_OF_MEMORY,
    PREFIX,
    Limits,
    Told,
    Wanted,
    WireError,
    pack_request,
    unpack_prefix,
)

ENVIRONMENT = {
    # A second thread changes the last bits, and is slower.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Keep memory from clip to clip: page faults took a fifth of librosa's time, and the trim threshold that
    # Dask's nanny sets makes more of them.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
_TAIL_BYTES = 2000


class ChildLostError(Exception):
    """The child ended, or answered nonsense; the message says how, in words that do not vary between runs."""

    error = "crashed"


class ChildSilentError(ChildLostError):
    """The deadline passed without an answer."""

    error = "timeout"


class ChildFullError(ChildLostError):
    """The child's memory did not suffice."""

    error = OUT_OF_MEMORY


class Allowance:
    """Time that may be spent waiting for a child; what the caller does in between is not counted."""

    def __init__(self, seconds: float, more: Callable[[], float] | None = None) -> None:
        self.granted = seconds
        self.left = seconds
        self._more = more

    def extend(self) -> bool:
        """Ask, once and not before it is needed, for more time; return whether there was any."""
        more, self._more = 0.0 if self._more is None else self._more(), None
        self.granted += more
        self.left += more
        return more > 0


@dataclass(frozen=True, slots=True)
class ChildStart:
    """How a child started."""

    seconds: float
    """Time until READY, in seconds."""
    compiled: bool
    """Whether it compiled the kernels first, once for all processes of the machine."""


class ChildProcess:
    """A decoder child, the pipes to it and the memory shared with it; for one thread at a time, except `kill`."""

    def __init__(self, program: Sequence[str], settings: Mapping[str, Any], limits: Limits) -> None:
        self._limits = limits
        self._released = threading.Event()
        self._sources = Outgoing()
        descriptors = self._sources.descriptors
        told = json.dumps({**settings, "parent": os.getpid(), "sources": descriptors})
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives until READY)
        try:
            self._process = self._start([*program, told], descriptors)
        except BaseException:
            self._sources.close()
            self._said.close()
            raise
        if self._process.stdin is None or self._process.stdout is None:
            raise JobError("the pipes to the decoder child are missing")
        self._requests = self._process.stdin
        self._replies = self._process.stdout
        os.set_blocking(self._replies.fileno(), False)
        self._unsent = b""
        self._answers = select.poll()
        self._answers.register(self._replies, select.POLLIN)

    def _start(self, command: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
        # Not multiprocessing: it refuses to start a process in a Dask worker, which is daemonic. A process group
        # of its own, so that Ctrl-C in a terminal does not reach the child before it can ignore it.
        start = partial(
            subprocess.Popen,
            list(command),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **ENVIRONMENT},
            pass_fds=descriptors,
            process_group=0,
        )
        started: Future[subprocess.Popen[bytes]] = Future()
        # The kernel ends a child with the thread that started it, and the caller's may end after its task.
        threading.Thread(target=_start_and_stay, args=(start, started, self._released), daemon=True).start()
        return started.result()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Tell whether the process has not ended yet."""
        return self._process.poll() is None

    def wait_ready(self, seconds: float, on_compiling: Callable[[float], object]) -> bool:
        """Wait until the child has imported and compiled everything; return whether it had to compile kernels.

        Parameters
        ----------
        seconds : float
            How long the child may be silent.
        on_compiling : callable
            Told how long the child has been waiting, in seconds, while it says that kernels are compiled.

        Raises
        ------
        JobError
            If it ends or stays silent; no clip is to blame for that.
        """
        start = time.monotonic()
        try:
            told, body = self.receive(0, Allowance(seconds))
            while told is Told.COMPILING:
                on_compiling(time.monotonic() - start)
                told, body = self.receive(0, Allowance(seconds))
        except ChildSilentError as error:
            raise JobError(
                f"the decoder child was not ready within {seconds:g} s: is the machine overloaded, or are kernels "
                "compiled at every start? Use fewer workers, or set XDG_CACHE_HOME to a folder that can be written"
            ) from error
        except ChildLostError as error:
            raise JobError(
                f"{error} before it was ready. Check the installation on this machine, and us8k.clip-memory if "
                f"memory is what it lacked. Its last words: {self._last_words() or 'none'}"
            ) from error
        if told is not Told.READY or body not in (b"", COMPILED):
            raise JobError(
                f"the decoder child began with {told.name} instead of READY: is another program in its place?"
            )
        self._said.close()
        return body == COMPILED

    def room(self, number: int, length: int) -> memoryview:
        """Return memory that the child shares, for the source of a request that will be sent."""
        return self._sources.room(number, length)

    def give_back(self, number: int) -> None:
        """Give back what the source of a request took, which is answered."""
        self._sources.give_back(number)

    def promised(self, number: int) -> float:
        """Return how long the child says that the clip of a request is, in seconds; 0 if it did not say."""
        return self._sources.promised(number)

    def prepare(self, wanted: Wanted, number: int, data: FileBytes, extension: str) -> None:
        """Prepare a request, which `receive` sends together with others that wait: the child is woken once for all.

        At most `handover.PLACES` may be unanswered, so that the pipe always has room for them.
        """
        self._sources.lay(number, data)
        self._unsent += pack_request(wanted, number, len(data), extension)

    def receive(self, number: int, allowance: Allowance) -> tuple[Told, bytearray]:
        """Send all requests that were prepared, and wait for the reply to one of them.

        Raises
        ------
        ChildLostError
            If the child ended or its reply is not in the agreed form.
        ChildSilentError
            If the allowance is used up.
        """
        if self._unsent:
            with contextlib.suppress(BrokenPipeError):  # waiting tells the rest
                os.write(self._requests.fileno(), self._unsent)
            self._unsent = b""
        self._wait(allowance)  # a read that came too early would cost an exception, for every clip
        try:
            told, length = unpack_prefix(self._read(PREFIX.size, allowance), number, self._limits)
        except WireError as error:
            raise ChildLostError("the decoder child answered nonsense") from error
        return told, self._read(length, allowance)

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it ends when that lets go
            self._process.wait(10)

    def release(self) -> None:
        """Close the pipes to a process that was killed, and give back what was shared with it."""
        self._requests.close()
        self._replies.close()
        self._said.close()
        self._sources.close()
        self._released.set()

    def _read(self, length: int, allowance: Allowance) -> bytearray:
        data = bytearray(length)
        rest = memoryview(data)
        while rest:
            try:
                n = os.readv(self._replies.fileno(), [rest])
            except BlockingIOError:
                self._wait(allowance)
                continue
            if n == 0:
                raise ChildLostError(self._how_it_ended())
            rest = rest[n:]
        return data

    def _wait(self, allowance: Allowance) -> None:
        start = time.monotonic()
        events = self._answers.poll(1000 * max(0.0, allowance.left))
        allowance.left -= time.monotonic() - start
        if not (events or allowance.extend()):
            raise ChildSilentError(f"no result within {allowance.granted:.6g} s")

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "the decoder child closed its pipe"
        if status < 0:
            return f"the decoder child was ended by {signal.Signals(-status).name}"
        return f"the decoder child exited with status {status}"

    def _last_words(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _TAIL_BYTES))
        return self._said.read().decode(errors="replace").strip()


def _start_and_stay(
    start: Callable[[], subprocess.Popen[bytes]], started: Future[subprocess.Popen[bytes]], released: threading.Event
) -> None:
    """Start a process in this thread, which lasts until the process is done with."""
    try:
        started.set_result(start())
    except BaseException as error:
        started.set_exception(error)
    else:
        released.wait()
