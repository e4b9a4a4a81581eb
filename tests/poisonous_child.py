"""A decoder child whose engine does to itself what the bytes of a clip say; run by the tests of the decoder."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

from us8k_batch.audio.opening import FileBytes
from us8k_batch.config import FeatureConfig
from us8k_batch.features import child
from us8k_batch.features.audio import OnHeader, read_header
from us8k_batch.features.engine import Engine, Features, make_engine


def make_poisonous(config: FeatureConfig, name: str, on_header: OnHeader) -> Engine:
    """Make an engine that obeys ``order`` or ``order:argument``, and computes every other clip."""
    compute = make_engine(config, name, on_header)

    def engine(source: FileBytes, extension: str = "") -> Features:
        data = bytes(source)
        order, _, argument = data.partition(b":")
        if order == b"slow":
            done = compute(argument)
            time.sleep(1.0)
            return done
        if order == b"stall":
            on_header(read_header(argument))
            _hang("")
        if order in ORDERS:
            ORDERS[order](argument.decode())
            return compute(OWN_CLIP.read_bytes())
        return compute(data, extension)

    return engine


OWN_CLIP = Path(sys.argv[1]) if len(sys.argv) > 2 else Path()


def _count_and_die(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")
    os._exit(3)


def _die_once(path: str) -> None:
    if not Path(path).exists():
        _count_and_die(path)


def _eat(_: str) -> None:
    hoard = []
    while True:
        hoard.append(bytearray(b"x" * (1 << 24)))


def _recurse(_: str) -> None:
    _recurse(_)


def _print(_: str) -> None:
    print("a library says something")  # noqa: T201
    sys.stdout.flush()
    os.write(1, b"\0" * 100_000)
    os.write(2, b"more of it\n" * 10_000)


def _hang(_: str) -> None:
    while True:
        time.sleep(60)


def _raise(text: str) -> None:
    raise RuntimeError(f"{text} at {object()!r}")


ORDERS = {
    b"segfault": lambda _: ctypes.string_at(0),
    b"abort": lambda _: os.abort(),
    b"exit": lambda status: os._exit(int(status)),
    b"count": _count_and_die,
    b"once": _die_once,
    b"eat": _eat,
    b"recurse": _recurse,
    b"print": _print,
    b"hang": _hang,
    b"raise": _raise,
}

if __name__ == "__main__":
    sys.exit(child.main(sys.argv[2:], make_poisonous))
