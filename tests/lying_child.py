"""A program that speaks the decoder's protocol wrongly in the way that its first argument names."""

from __future__ import annotations

import os
import struct
import sys
import time

# Not imported from the package, so that this starts fast and the layouts are written down a second time.
REQUEST = struct.Struct("<BIQ4s")
PREFIX = struct.Struct("<BIQ")
READY, FEATURES, HEADER, FAILURE, COMPILING = range(1, 6)
HUGE = 2**62


def reply(told: int, number: int, body: bytes = b"", length: int | None = None) -> bytes:
    """Pack a reply, whose length may be a lie."""
    return PREFIX.pack(told, number, len(body) if length is None else length) + body


def features(n_mfcc: int, n_frames: int, n_pooled: int, n_values: int, seconds: float = 0.0) -> bytes:
    """Pack features whose counts may contradict each other."""
    return struct.pack("<IIIddd", n_mfcc, n_frames, n_pooled, 1.0, 0.0, seconds) + bytes(4 * n_values)


LIES = {
    "unknown kind": lambda n: reply(99, n),
    "another request": lambda n: reply(FAILURE, n + 1, bytes(64)),
    "huge length": lambda n: reply(FEATURES, n, length=HUGE),
    "huge detail": lambda n: reply(FAILURE, n, length=10_000),
    "too many frames": lambda n: reply(FEATURES, n, features(40, 10_000_000, 80, 10)),
    "too few values": lambda n: reply(FEATURES, n, features(40, 10, 80, 10)),
    "other coefficients": lambda n: reply(FEATURES, n, features(20, 10, 80, 280)),
    "no time": lambda n: reply(FEATURES, n, features(40, 10, 80, 480, float("nan"))),
    "no frame": lambda n: reply(FEATURES, n, features(40, 0, 80, 80)),
    "a header": lambda n: reply(HEADER, n, bytes(56)),
    "compiling": lambda n: reply(COMPILING, n),
    "ready again": lambda n: reply(READY, n),
    "short failure": lambda n: reply(FAILURE, n, b"x"),
    "names of bytes": lambda n: reply(FAILURE, n, b"\xff" * 64),
}


def main() -> None:
    """Get ready, or not; then lie about every clip."""
    how = sys.argv[1]
    if how == "dies at once":
        sys.exit("no libsndfile here")
    if how == "never ready":
        time.sleep(3600)
    if how.startswith("compiles"):
        for _ in range(6):
            os.write(1, reply(COMPILING, 0))
            time.sleep(0.3)
    if how == "compiles and falls silent":
        time.sleep(3600)
    os.write(1, reply(FAILURE if how == "starts wrongly" else READY, 0))
    if how == "never reads":
        time.sleep(3600)
    while request := sys.stdin.buffer.read(REQUEST.size):
        _, number, _, _ = REQUEST.unpack(request)
        os.write(1, LIES[how](number))


if __name__ == "__main__":
    main()
