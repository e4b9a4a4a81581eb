"""Extract clips in a child process, so that a clip that crashes, hangs or eats memory costs only itself."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from us8k_batch.audio.opening import ClipFile, FileBytes
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import Failure, JobError
from us8k_batch.features import wire
from us8k_batch.features.audio import Header
from us8k_batch.features.compiling import CompilingNotice
from us8k_batch.features.engine import Features
from us8k_batch.features.line import Line, Numbers, Request
from us8k_batch.features.process import Allowance, ChildFullError, ChildLostError, ChildProcess, ChildStart
from us8k_batch.features.wire import Limits, Told, Wanted, WireError

logger = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-P", "-m", "us8k_batch.features.child")
"""The child; ``-P`` keeps modules that lie in the working directory, perhaps a stranger's dataset, out of it."""
_TRIES = 2
_SLOWEST = 500
"""Bytes per second below which no sound is worth waiting for: a header may promise days."""

T = TypeVar("T")


class Decoder:
    """An engine in a child process, which lives from clip to clip; for one thread at a time.

    The kernel ends the child when this process ends. A child that is lost in between is replaced without a word.
    """

    def __init__(
        self,
        config: FeatureConfig,
        engine: str,
        *,
        memory_bytes: int = 2 << 30,
        deadline_seconds: float = 30.0,
        startup_seconds: float = 300.0,
        program: Sequence[str] = PROGRAM,
        on_compiling: Callable[[float], object] | None = None,
    ) -> None:
        """Remember what to start; nothing is started yet.

        Parameters
        ----------
        config : FeatureConfig
            What to compute.
        engine : str
            Name of the engine.
        memory_bytes : int
            Memory that the child may take, with all its libraries.
        deadline_seconds : float
            Time that a clip may take beside its own duration, in seconds; counted from READY.
        startup_seconds : float
            Time until READY, in seconds; while kernels are compiled it does not count.
        program : sequence of str
            What to run instead of our own child; it gets the settings as its last argument.
        on_compiling : callable, optional
            Told meanwhile how many seconds that has taken; by default the log is.
        """
        self._memory_bytes = memory_bytes
        self._deadline_seconds = deadline_seconds
        self._startup_seconds = startup_seconds
        self._max_seconds = config.max_seconds
        self._limits = Limits.of(config, memory_bytes)
        self._settings = {"engine": engine, "memory_bytes": memory_bytes, "config": config.to_dict()}
        self._program = program
        self._on_compiling = on_compiling or CompilingNotice(logger.warning)
        self._child: ChildProcess | None = None
        self._starts: list[ChildStart] = []
        self._numbers = Numbers()
        self._ahead: list[int] = []
        """Numbers of clips that are read, or will be, and are not sent."""
        self._serving = False
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child; None if there is none now."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the child and wait until it is ready; otherwise the first clip does.

        Raises
        ------
        JobError
            If it does not get ready.
        """
        if self._closed:
            raise JobError("the decoder was closed; the clips in hand have no result")
        if self._child is not None:
            return
        began = time.perf_counter()
        try:
            self._child = ChildProcess(self._program, self._settings, self._limits)
            compiled = self._child.wait_ready(self._startup_seconds, self._on_compiling)
        except OSError as error:
            self._end_child()
            raise JobError(f"the decoder child cannot be started on this machine: {error}") from error
        except BaseException:
            self._end_child()
            raise
        self._starts.append(ChildStart(time.perf_counter() - began, compiled))

    def take_starts(self) -> list[ChildStart]:
        """Tell of each child that was started since this was asked last."""
        starts, self._starts = self._starts, []
        return starts

    def extract(self, data: FileBytes, extension: str = "") -> Features | Failure:
        """Extract one clip, of which `extension` is `extension_of` its path; see `extract_many`."""
        return next(self.extract_many([ClipFile(data, extension)]))

    def room(self, length: int, ahead: int = 0) -> memoryview:
        """Return memory to read the next clip into, so that it need not be copied on its way to the child.

        Parameters
        ----------
        length : int
            Bytes that are needed.
        ahead : int
            Clips, at most `line.AHEAD`, that are read already and will be taken before it.

        Returns
        -------
        memoryview
            Writable, of `length` bytes or more. For the clip that `extract_many` takes after those, as a view from
            the beginning on; valid until that clip's result is there.
        """
        if self._child is None:
            return memoryview(bytearray(length))
        while len(self._ahead) <= ahead:
            self._ahead.append(self._numbers.take())
        return self._child.room(self._ahead[ahead], length)

    def extract_many(self, clips: Iterable[ClipFile]) -> Iterator[Features | Failure]:
        """Extract clips, one result per clip in the same order.

        While clips are computed the next ones are fetched and sent, so that they are in memory at the same time:
        `line.IN_HAND` small ones, or two.

        Parameters
        ----------
        clips : iterable of ClipFile
            Their bytes are best in memory that `room` gave. An error that it raises is passed on after
            the results before it.

        Yields
        ------
        Features or Failure
            A failure has the stage and error of what was wrong with the clip; or stage ``decode`` and error
            ``crashed``, ``timeout`` or ``out_of_memory`` if a fresh child came to the same end as the first.

        Raises
        ------
        JobError
            If a child cannot be started.
        """
        return self._serve(Wanted.FEATURES, Told.FEATURES, partial(wire.unpack_features, limits=self._limits), clips)

    def read_header(self, data: FileBytes, extension: str = "") -> Header | Failure:
        """Read one clip's header."""
        clips = [ClipFile(data, extension)]
        return next(self._serve(Wanted.HEADER, Told.HEADER, wire.unpack_header, clips))

    def count_samples(self, data: FileBytes, extension: str = "") -> Header | Failure:
        """Read one clip's header, and decode the clip to tell how many samples it has."""
        clips = [ClipFile(data, extension)]
        return next(self._serve(Wanted.LENGTH, Told.HEADER, wire.unpack_header, clips))

    def close(self) -> None:
        """End the child for good; what another thread is waiting for ends with `JobError`."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()
        if not self._serving:
            self._end_child()

    def _serve(
        self, wanted: Wanted, expected: Told, unpack: Callable[[bytearray], T], clips: Iterable[ClipFile]
    ) -> Iterator[T | Failure]:
        line = Line()
        source = iter(clips)
        trouble: Exception | None = None
        at_end = False
        if self._serving:
            raise RuntimeError("this decoder has not finished its last clips; take all results first")
        if self._child is not None and not self._child.is_running():
            self._end_child()
        self._serving = True
        try:
            while True:
                taking = line.is_low()
                while taking and not at_end and line.has_room():
                    try:
                        clip = next(source)
                    except StopIteration:
                        at_end = True
                    except Exception as error:  # the clips before it still get their results
                        trouble, at_end = error, True
                    else:
                        line.append(Request(wanted, clip.data, clip.extension))
                        self._send(line[-1])
                if not line:
                    break
                answer = self._answer(line, expected, unpack)
                self._forget(line.popleft())
                yield answer
        finally:
            self._serving = False
            if line or self._closed:
                self._end_child()  # an answer that nobody waits for must not be taken for another one
            for request in line:
                self._forget(request)
        if trouble is not None:
            raise trouble

    def _answer(self, line: Line, expected: Told, unpack: Callable[[bytearray], T]) -> T | Failure:
        """Return the first request's answer, from a fresh child if the first one is lost."""
        for attempt in range(_TRIES):
            try:
                return self._receive(line[0], expected, unpack)
            except ChildLostError as error:
                loss = error
            self._end_child()
            for request in list(line)[0 if attempt + 1 < _TRIES else 1 :]:
                self._send(request)
        return Failure("decode", loss.error, f"{loss}, and in a fresh process too")

    def _receive(self, request: Request, expected: Told, unpack: Callable[[bytearray], T]) -> T | Failure:
        child = self._child
        if child is None:
            raise ChildLostError("the decoder child is gone")

        allowance = Allowance(self._deadline_seconds, partial(self._promised, child, request))
        told, body = child.receive(request.number, allowance)
        try:
            if told is expected:
                return unpack(body)
            if told is not Told.FAILURE:
                raise WireError(f"{told.name} in answer to {request.wanted.name}")
            failure = wire.unpack_failure(body)
        except WireError as error:
            raise ChildLostError("the decoder child answered nonsense") from error
        if failure.error == wire.OUT_OF_MEMORY:
            raise ChildFullError(f"the decoder child needed more than {self._memory_bytes >> 20} MiB")
        return failure

    def _promised(self, child: ChildProcess, request: Request) -> float:
        """Return how long the clip of a request says that it is, or can be."""
        longest = float("inf") if self._max_seconds is None else self._max_seconds
        return min(child.promised(request.number), longest, len(request.data) / _SLOWEST)

    def _send(self, request: Request) -> None:
        if self._child is None:
            self.start()
        if request.number:  # it was at a child that is lost
            self._numbers.give(request.number)
            request.number = self._numbers.take()
        else:
            request.number = self._ahead.pop(0) if self._ahead else self._numbers.take()
        if self._child is not None:
            self._child.prepare(request.wanted, request.number, request.data, request.extension)

    def _forget(self, request: Request) -> None:
        if not request.number:  # there was no child to send it to
            return
        self._numbers.give(request.number)
        if self._child is not None:
            self._child.give_back(request.number)

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.release()
