"""Break a run at one of its writes: in processes of their own, hundreds of times, without Dask.

A process that is forked from one in which obstore's threads run is of no use, so that runs are forked from a
server that never used it, and in which everything is imported.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import multiprocessing
import os
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import google_crc32c  # noqa: F401  # imported once, by the server
import numcodecs.zstd  # noqa: F401
import soundfile  # noqa: F401
import soxr  # noqa: F401

from us8k_batch.audio.opening import ClipFile
from us8k_batch.catalog.room import new_room
from us8k_batch.cluster.where import Where
from us8k_batch.errors import ClipError, Failure, Us8kError
from us8k_batch.features.audio import Header, read_header
from us8k_batch.features.engine import Engine, Features, make_engine
from us8k_batch.features.mfcc import MfccKernel  # noqa: F401
from us8k_batch.features.process import ENVIRONMENT
from us8k_batch.run import session
from us8k_batch.run.extract import extract
from us8k_batch.run.options import Options
from us8k_batch.settings import load_settings
from us8k_batch.workshop import Needs, Workshop

Deed = Callable[[Callable[[], Any]], Any]
"""Called in place of a step, with what takes it."""
Act = Callable[[str, int], Deed | None]
"""Told a step and its number, from 0, before it is taken; returns what is to happen instead."""


def nothing(*_: object) -> None:
    """Let every step be taken."""


def killed(step: Callable[[], Any]) -> None:
    """End as ``kill -9`` does, before the step."""
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full(step: Callable[[], Any]) -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def answer_lost(step: Callable[[], Any]) -> None:
    """Take the step, and say that it failed."""
    step()
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def broken(step: Callable[[], Any]) -> None:
    """Fail as a broken disk does, before the step."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def surprised(step: Callable[[], Any]) -> None:
    """Fail as no storage does, but a mistake in a program."""
    raise ZeroDivisionError("a mistake")


DEEDS: dict[str, Deed] = {
    "killed": killed,
    "disk full": disk_full,
    "answer lost": answer_lost,
    "broken": broken,
    "surprised": surprised,
}


@dataclass(frozen=True)
class Fault:
    """One way to break a run."""

    at: int
    """Number of the step, from 0."""
    how: str
    """One of `DEEDS`; a full disk stays full."""

    def __call__(self, step: str, number: int) -> Deed | None:
        """Break the step, if it is the one."""
        full = self.how == "disk full" and number > self.at and not step.startswith("unlink")
        return DEEDS[self.how] if number == self.at or full else None


@dataclass
class Steps:
    """Every system call of this process that changes a store, in order; heartbeats aside."""

    root: Path
    act: Act
    taken: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while the block runs."""
        # pathlib calls these by the names that they have in their modules.
        calls = [(os, name, getattr(os, name)) for name in ("link", "fsync", "replace", "unlink", "mkdir")]
        opened = io.open
        for module, name, call in calls:
            setattr(module, name, functools.partial(self._call, call))
        io.open = functools.partial(self._open, opened)  # type: ignore[assignment]
        try:
            yield
        finally:
            io.open = opened
            for module, name, call in calls:
                setattr(module, name, call)

    def step(self, call: str, path: Path, take: Callable[[], Any]) -> Any:
        """Take one step, or break it."""
        if not path.is_relative_to(self.root) or threading.current_thread().name == "us8k-lease":
            return take()
        key = re.sub("(tmp|probe)-[0-9a-f]+", r"\1", path.relative_to(self.root).as_posix())
        self.taken.append(f"{call} {key}")
        deed = self.act(self.taken[-1], len(self.taken) - 1)
        return take() if deed is None else deed(take)

    def _call(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        name = call.__name__
        target = arguments[1] if name in ("link", "replace") else arguments[0]
        if name == "fsync":
            # Only a power cut would tell whether it happened, and it is most of a small run's time.
            return self.step(name, Path(f"/proc/self/fd/{target}").readlink(), lambda: None)
        return self.step(name, Path(os.fspath(target)), lambda: call(*arguments, **options))

    def _open(self, call: Callable[..., Any], file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opened = call(file, mode, *arguments, **options)
        return Torn(opened, Path(file), self) if mode == "xb" else opened


@dataclass
class Torn:
    """A new file; half of what is written to it is there before the step is taken."""

    file: Any
    path: Path
    steps: Steps

    def __enter__(self) -> Torn:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        """Write one half, then perhaps the other."""
        half = len(data) // 2
        self.file.write(data[:half])
        self.file.flush()
        self.steps.step("write", self.path, lambda: self.file.write(data[half:]))

    def flush(self) -> None:
        """Flush."""
        self.file.flush()

    def fileno(self) -> int:
        """Return the descriptor."""
        return int(self.file.fileno())


class Inline:
    """Stands for a cluster: calls every task here, one after the other."""

    dashboard_link = "none"

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def workers(self) -> dict[str, int]:
        """Say that there is one."""
        return {"here": 1}

    def wait_for_workers(self) -> None:
        """Wait for nobody."""

    def on_each_worker(self, function: Callable[[Any, Any], Any], payload: Any) -> dict[str, Any]:
        """Call it here."""
        return {"here": function(self._workshop, payload)}

    def run(
        self,
        name: str,  # noqa: ARG002  # the signature is the cluster's
        function: Callable[[Any, Any], Any],
        payloads: Iterable[Any],
        stop: Callable[[], bool],  # noqa: ARG002
    ) -> Iterator[tuple[Any, Any]]:
        """Call it here for each."""
        for payload in payloads:
            yield payload, function(self._workshop, payload)

    @contextlib.contextmanager
    def performance_report(self, _: str | None) -> Iterator[None]:
        """Report nothing."""
        yield


class Bench(Workshop):
    """A workshop whose engine runs in this process, and that notes what it decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0
        self._engine: Engine | None = None

    def make_decoder(self, needs: Needs) -> Any:
        """Make a decoder without a child; there is only one job."""
        self._engine = make_engine(needs.config, needs.engine)
        return self

    def start(self) -> None:
        """Start nothing."""

    def take_starts(self) -> list[Any]:
        """Tell of no child's start."""
        return []

    def room(self, length: int, ahead: int = 0) -> memoryview:  # noqa: ARG002
        """Give memory for a clip."""
        return new_room(length)

    def extract_many(self, clips: Iterable[ClipFile]) -> Iterator[Features | Failure]:
        """Decode here."""
        assert self._engine is not None
        for data, extension in clips:
            self.decoded += 1
            try:
                yield self._engine(data, extension)
            except ClipError as error:
                yield Failure(error.stage, error.error, str(error))

    def read_header(self, data: bytes, extension: str = "") -> Header:
        """Read it here."""
        return read_header(data, extension)


class Silent:
    """Tells nobody."""

    def tell(self, message: str) -> None:
        """Say nothing."""

    def start(self, clips: int) -> None:
        """Count nothing."""

    def advance(self, report: object) -> None:
        """Count nothing."""

    def finish(self) -> None:
        """Count nothing."""


@dataclass(frozen=True)
class Ended:
    """How a run ended, as it told itself."""

    status: int
    message: str = ""
    decoded: int = 0
    """Clips that it decoded."""
    steps: tuple[str, ...] = ()


def asks(pipe: Connection) -> Act:
    """Ask at every step whether to go on: False means to be killed."""

    def act(step: str, number: int) -> Deed | None:
        pipe.send(step)
        return None if pipe.recv() else killed

    return act


def run_here(pipe: Connection, dataset: str, store: str, fault: Fault | None, *, force: bool, asking: bool) -> None:
    """Carry one run out in this process, and tell through the pipe how it ended."""
    bench = Bench()

    @contextlib.contextmanager
    def connect(*_: object) -> Iterator[Inline]:
        yield Inline(bench)

    session.connect = connect  # type: ignore[attr-defined]
    act: Act = fault or (asks(pipe) if asking else nothing)
    steps = Steps(Path(store), act)
    options = Options(
        dataset=dataset, store=store, settings=load_settings(), where=Where(), clips_per_shard=2, force=force,
        allow_removal=True,
    )  # fmt: skip
    try:
        with steps.watched():
            done = extract(options, Silent())
        status, message = done.exit_status, ""
    except Us8kError as error:
        status, message = error.exit_status, str(error)
    except BaseException:
        status, message = -1, traceback.format_exc()
    pipe.send(Ended(status, message, bench.decoded, tuple(steps.taken)))


def python_path() -> str:
    """Return where a process finds these tests, and what this one finds."""
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)


@dataclass
class RunServer:
    """Starts runs in processes that are ready at once."""

    context: Any = field(default_factory=lambda: multiprocessing.get_context("forkserver"))

    def __post_init__(self) -> None:
        self.context.set_forkserver_preload(["__main__", "ready_for_runs"])
        changed = {"PYTHONPATH": python_path(), **ENVIRONMENT}
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        multiprocessing.forkserver.ensure_running()  # type: ignore[attr-defined]
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

    def begin(
        self, dataset: Path, store: Path, fault: Fault | None = None, *, force: bool = False, asking: bool = False
    ) -> Begun:
        """Begin a run: to be broken, to take the store over, or to ask before each of its steps."""
        ours, theirs = self.context.Pipe()
        options = {"force": force, "asking": asking}
        arguments = (theirs, str(dataset), str(store), fault)
        process = self.context.Process(target=run_here, args=arguments, kwargs=options)
        process.start()
        theirs.close()
        return Begun(process, ours)

    def run(self, dataset: Path, store: Path, fault: Fault | None = None) -> Ended:
        """Carry a run out, to its end or to the fault."""
        return self.begin(dataset, store, fault).end()


@dataclass
class Begun:
    """A run that is going on."""

    process: Any
    pipe: Connection

    def told(self) -> str | Ended:
        """Wait for its next step, or its end."""
        try:
            told: str | Ended = self.pipe.recv()
        except EOFError:
            told = Ended(-signal.SIGKILL)
        if isinstance(told, Ended):
            self.process.join()
            self.pipe.close()
        return told

    def go(self, on: bool) -> None:
        """Let it take the step that it told; or have it killed."""
        self.pipe.send(on)

    def end(self) -> Ended:
        """Wait for its end."""
        told = self.told()
        assert isinstance(told, Ended), told
        return told
