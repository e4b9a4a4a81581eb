"""Archives in the shape of UrbanSound8K's, and an HTTP server that hands them out, well or badly."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
from audio_files import make_audio

TOP = "UrbanSound8K"
CLIPS = {f"audio/fold{1 + i % 2}/{100 + i}-{i}-0-0.wav": make_audio(seed=i, seconds=0.05) for i in range(6)}
CSV = "slice_file_name,fsID,start,end,salience,fold,classID,class\n" + "".join(
    f"{path.rpartition('/')[2]},{100 + i},0,0.05,1,{1 + i % 2},{i},class{i}\n" for i, path in enumerate(CLIPS)
)
GENUINE = pa.table(
    {
        "path": list(CLIPS),
        "size": pa.array([len(data) for data in CLIPS.values()], pa.int64()),
        "sha256": [hashlib.sha256(data).digest() for data in CLIPS.values()],
    }
)


def member(name: str, data: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Make one member; `attributes` are those of a `tarfile.TarInfo`."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def make_archive(*more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Pack the clips, their metadata, a Mac's leftovers, and `more`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        members = [member(f"{TOP}/{path}", data) for path, data in CLIPS.items()]
        members += [member(f"{TOP}/audio/.DS_Store", b"x"), member(f"{TOP}/metadata/UrbanSound8K.csv", CSV.encode())]
        for info, data in [*members, *more]:
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


@dataclass
class Served:
    """A file on a server, and what was asked of it."""

    data: bytes
    url: str = ""
    ranges: bool = True
    """Whether the server answers for ranges."""
    cut: int | None = None
    """Connections are cut after so many bytes of an answer."""
    claims: int | None = None
    """Bytes that it says the file has."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Method and range of each request."""


@contextlib.contextmanager
def serve(data: bytes, **how: Any) -> Iterator[Served]:
    """Serve a file on loopback."""
    served = Served(data, **how)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(send=False)

        def do_GET(self) -> None:
            self._answer(send=True)

        def _answer(self, *, send: bool) -> None:
            wanted = self.headers.get("Range")
            served.asked.append((self.command, wanted))
            if not self.path.endswith(".tar.gz"):
                self.send_error(404)
                return
            part, total = served.data, len(served.data)
            if wanted and served.ranges:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                part = part[int(first) : int(last) + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{total}")
            else:
                self.send_response(200)
            self.send_header("ETag", f'"{hashlib.md5(served.data, usedforsecurity=False).hexdigest()}"')
            self.send_header("Content-Length", str(len(part) if send else served.claims or len(part)))
            self.end_headers()
            if send:
                self.wfile.write(part[: served.cut])
                self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served.url = f"http://127.0.0.1:{server.server_port}/files/{TOP}.tar.gz"
        yield served
        server.shutdown()
