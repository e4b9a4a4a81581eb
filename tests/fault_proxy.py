"""A network between an S3 server and its users that does to any request what networks and servers do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

STATUSES = {"429": "Too Many Requests", "500": "Internal Server Error", "503": "Slow Down"}
FAULTS = (*STATUSES, "reset", "answer lost", "answer cut")
"""Refused with a status, or the connection reset: before the server is asked, or after it did what was asked,
with nothing of its answer, or half of it."""
HEADER_BYTES = 1 << 20

Decide = Callable[[str, str], str | None]
"""Told method and path of a request; returns one of `FAULTS`, or None to let it pass."""


def never(method: str, path: str) -> None:
    """Let every request pass."""


def at_random(rate: float, seed: int) -> Decide:
    """Make a fault of every kind as likely as any other; `rate` is the share of requests that meet one."""
    dice = random.Random(seed)
    return lambda *_: dice.choice(FAULTS) if dice.random() < rate else None


class FaultProxy:
    """Passes HTTP on to a server, and counts; it lasts as long as the block."""

    def __init__(self, upstream: str, decide: Decide = never) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self.decide = decide
        self.answered: Callable[[str, str], object] = never
        """Told of every request that the server has answered, before its answer is passed on."""
        self.requests: Counter[str] = Counter()
        """Requests by method."""
        self.faults: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        started = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEADER_BYTES)
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._pass_on(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the user went away
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass one request on; return whether the connection is to be kept."""
        head, body = await _read_message(reader, "PUT")
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        self.requests[method] += 1
        fault = self.decide(method, path)
        if fault is not None:
            self.faults[fault] += 1
        if fault in STATUSES:
            told = f"<Error><Code>AsTold</Code><Message>{STATUSES[fault]}</Message></Error>"
            writer.write(f"HTTP/1.1 {fault} {STATUSES[fault]}\r\nContent-Length: {len(told)}\r\n\r\n{told}".encode())
            await writer.drain()
            return True
        if fault == "reset":
            return _reset(writer)
        answer = b"".join(await self._ask(head, body, method))
        self.answered(method, path)
        if fault == "answer lost":
            return _reset(writer)
        if fault == "answer cut":
            writer.write(answer[: -max(1, len(answer) // 2)])
            await writer.drain()
            return _reset(writer)
        writer.write(answer)
        await writer.drain()
        return True

    async def _ask(self, head: bytes, body: bytes, method: str) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection(*self._upstream, limit=HEADER_BYTES)
        try:
            writer.write(head + body)
            await writer.drain()
            return await _read_message(reader, method)
        finally:
            writer.close()


async def _read_message(reader: asyncio.StreamReader, method: str) -> tuple[bytes, bytes]:
    """Read a request, or the answer to one of that method: its head with the empty line, and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if method == "HEAD" or head.split(b" ", 2)[1] in (b"204", b"304"):
        return head, b""
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        parts = []
        while not (parts and parts[-1].startswith(b"0\r\n")):
            size = await reader.readuntil(b"\r\n")
            parts.append(size + await reader.readexactly(int(size, 16) + 2))
        return head, b"".join(parts)
    return head, await reader.readexactly(int(fields.get(b"content-length", b"0")))


def _reset(writer: asyncio.StreamWriter) -> bool:
    """End a connection as a router does that forgot it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
