"""Where everything human is printed, and JSON: streams that may be closed or full without harm to a run.

A job is worth more than what it says. So stdout and stderr are given a lowest layer that remembers what could not be
written instead of raising it; whatever prints through them (click, logging, warnings, rich, Dask, the interpreter at
its end) is safe, too. Whether what was lost matters is asked once, when the job is done.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class LenientFile(io.FileIO):
    """A file whose writes never fail; what went wrong is remembered."""

    lost: OSError | None = None
    """Why something could not be written."""

    def write(self, data: Any) -> int:
        """Write bytes, or drop them."""
        try:
            while (written := super().write(data)) is None:  # a terminal or pipe that somebody made non-blocking
                select.select((), (self,), ())
        except OSError as error:
            self.lost = self.lost or error
            return len(memoryview(data).cast("B"))
        return written


def install() -> None:
    """Make stdout and stderr of this process lenient, and open what was closed, so that no file takes its place.

    Streams that somebody else put there, such as a test, are left as they are.
    """
    closed = {number for number in (0, 1, 2) if _open_if_closed(number)}
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115  # lives as long as the process
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and _lowest(stream) is None:
            setattr(sys, name, _lenient(stream, number, is_closed=number in closed))


def say(message: str) -> None:
    """Print a line for a person on stderr."""
    _write(sys.stderr, message)


def show(text: str) -> None:
    """Print a line on stdout."""
    _write(sys.stdout, text)


def lost() -> OSError | None:
    """Return why something did not reach stdout; None if all did."""
    file = _lowest(sys.stdout)
    if file is None:
        return None
    sys.stdout.flush()
    return file.lost


def forget() -> None:
    """Forget what did not reach stdout: nothing hangs on it."""
    file = _lowest(sys.stdout)
    if file is not None:
        sys.stdout.flush()
        file.lost = None


@contextlib.contextmanager
def answered(name: str) -> Iterator[None]:
    """Exit with 1 if the block exits with 0 and what it printed on stdout was lost.

    It is said why, unless the reader went away, as ``| head`` does: there is nobody left to tell.
    """
    try:
        yield
    except SystemExit as ended:
        why = lost()
        forget()
        if why is not None and why.errno != errno.EPIPE:
            say(f"{name}: stdout cannot be written ({why.strerror}), and what it was to tell is lost")
        if why is not None and not ended.code:
            raise SystemExit(1) from None
        raise


def _write(stream: TextIO | None, line: str) -> None:
    if stream is not None:  # None: pythonw, or closed by somebody
        stream.write(f"{line}\n")
        stream.flush()


def _open_if_closed(number: int) -> bool:
    """Open a standard stream on nothing if it is closed: the next file that is opened would be taken for it."""
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)
        return True
    return False


def _lenient(stream: TextIO | None, number: int, *, is_closed: bool) -> TextIO:
    file = LenientFile(number, "w", closefd=False)
    if is_closed or stream is None:
        file.lost = OSError(errno.EBADF, os.strerror(errno.EBADF))
    else:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",  # a name or a sign that the encoding lacks
        line_buffering=number == 2 or bool(getattr(stream, "line_buffering", False)),
        write_through=bool(getattr(stream, "write_through", False)),
    )


def _lowest(stream: TextIO | None) -> LenientFile | None:
    file = getattr(getattr(stream, "buffer", None), "raw", None)
    return file if isinstance(file, LenientFile) else None
