"""The decoder child: computes clips in a process of its own, which may crash, hang or run out of memory."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import math
import os
import re
import resource
import signal
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from threadpoolctl import threadpool_limits

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError, Failure
from us8k_batch.features import wire
from us8k_batch.features.audio import Header, OnHeader, count_samples, read_header
from us8k_batch.features.engine import Engine, choose_engine, make_engine
from us8k_batch.features.handover import Incoming
from us8k_batch.features.wire import OUT_OF_MEMORY, Told, Wanted

_PR_SET_PDEATHSIG = 1
_LEAST_ROOM = 64 << 20
"""Memory without which no clip should be tried, in bytes."""

_PULSE_SECONDS = 1.0
"""Time between two words about compiling; most children are ready before the first one."""

EngineFactory = Callable[[FeatureConfig, str, OnHeader], Engine]


def main(arguments: list[str] | None = None, factory: EngineFactory = make_engine) -> int:
    """Serve requests from standard input until it ends.

    Parameters
    ----------
    arguments : list of str, optional
        One JSON object: ``parent`` (process id), ``sources`` (file descriptors), ``engine``, ``memory_bytes`` and
        ``config``.
    factory : callable
        Makes the engine.

    Returns
    -------
    int
        Exit status.
    """
    # Ctrl-C in a terminal reaches every process in it; the parent still has to finish its shard.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = json.loads((sys.argv[1:] if arguments is None else arguments)[0])
    _die_with(settings["parent"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, replies = _take_pipes()
    config = FeatureConfig.from_dict(settings["config"])
    service = _Service(requests, replies, Incoming(settings["sources"]))
    with _compiling_told(service, config, settings["engine"]):
        engine = factory(config, settings["engine"], service.note_header)
    _warm_up(engine, _warm_up_clip(config))
    threadpool_limits(1)
    _limit_memory(settings["memory_bytes"])
    os.chdir("/")  # where nobody else can leave a file that a library looks for
    _point_at_null(0, 1, 2)
    service.serve(engine)
    return 0


class _Service:
    """Answers requests, one after the other."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO, sources: Incoming) -> None:
        self._requests = requests
        self._replies = replies
        self._sources = sources
        self._number = 0

    def serve(self, engine: Engine) -> None:
        """Say READY, then answer until the parent closes its end."""
        self._tell(Told.READY, wire.COMPILED if getattr(engine, "compiled", False) else b"")
        while len(request := self._requests.read(wire.REQUEST.size)) == wire.REQUEST.size:
            wanted, self._number, length, extension = wire.unpack_request(request)
            self._tell(*self._answer(wanted, length, extension, engine))

    def tell_compiling(self) -> None:
        """Say that READY waits for kernels."""
        self._tell(Told.COMPILING)

    def note_header(self, header: Header) -> None:
        """Note the duration that the header promises, before the clip is decoded."""
        if self._number:  # while warming up there is no request
            self._sources.promise(self._number, header.duration)

    def _answer(
        self, wanted: Wanted, length: int, extension: str, engine: Engine
    ) -> tuple[Told, *tuple[bytes | memoryview, ...]]:
        try:
            data = self._sources.look(self._number, length)
            if wanted is Wanted.HEADER:
                return Told.HEADER, wire.pack_header(read_header(data, extension))
            if wanted is Wanted.LENGTH:
                return Told.HEADER, wire.pack_header(count_samples(data, extension))
            return Told.FEATURES, *wire.pack_features(engine(data, extension))
        except ClipError as error:
            failure = Failure(error.stage, error.error, str(error))
        except MemoryError:
            failure = Failure("decode", OUT_OF_MEMORY, "")
        except Exception as error:  # whatever it is, it costs this clip only
            # Without addresses, because a failure must read the same in every run.
            text = re.sub(r"0x[0-9a-fA-F]+", "0x…", f"{type(error).__name__}: {error}")
            failure = Failure("decode", "crashed", f"the engine raised {text}")
        return Told.FAILURE, wire.pack_failure(failure)

    def _tell(self, told: Told, *body: bytes | memoryview) -> None:
        self._replies.write(wire.pack(told, self._number, *body))
        self._replies.flush()


@contextlib.contextmanager
def _compiling_told(service: _Service, config: FeatureConfig, engine: str) -> Iterator[None]:
    """Tell the parent again and again while kernels are compiled that the engine waits for."""
    done = threading.Event()

    def tell() -> None:
        while not done.wait(_PULSE_SECONDS):
            from us8k_batch.features.fast.machine_code import open_machine_code

            if open_machine_code().is_being_compiled():
                service.tell_compiling()

    if choose_engine(config, engine)[0] != "fast":
        yield
        return
    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent's starting thread ends; a hung child never sees EOF."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before prctl
        sys.exit("the process that started this decoder child is gone")


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take the pipes away from standard input and output, so that no library reads or prints into them."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    _point_at_null(0)
    os.dup2(2, 1)
    return requests, replies


def _point_at_null(*descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def _limit_memory(memory_bytes: int) -> None:
    # RLIMIT_AS would count address space that is only reserved.
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        bytearray(_LEAST_ROOM)
    except MemoryError:
        sys.exit(f"{limit >> 20} MiB leave no room for a clip beside the libraries")


def _warm_up(engine: Engine, clip: bytes) -> None:
    with contextlib.suppress(ClipError):  # the clip may be too short or too long for an unusual configuration
        engine(clip)


def _warm_up_clip(config: FeatureConfig) -> bytes:
    """Make a WAV file that is decoded, downmixed and resampled: what is imported or compiled late is used."""
    rate = 2 * config.sample_rate
    n_samples = math.ceil(rate * min(0.1, config.max_seconds or 0.1))
    ramp = np.linspace(-1000, 1000, 2 * n_samples).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(ramp.tobytes())
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
