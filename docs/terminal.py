"""Record what a command sends to a terminal, and draw it: a picture that plays once, and then stands still."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

LONGEST_PAUSE = 0.8
"""Seconds that nothing may happen in the picture, however long it was."""
LONGEST = 12.0
"""Seconds that the picture may play; if it were longer, all of it is faster."""
SHORTEST_STEP = 0.12
"""Seconds between two states of a line that is written over, such as a bar."""
WIDTH, HEIGHT, MARGIN = 7.8, 18, 14
"""Of a character, of a line, and around all, in pixels."""
PAPER, INK, DIM = "#0d1117", "#e6edf3", "#9198a1"
COLOURS = ("#e6edf3", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#76e3ea", "#e6edf3")
"""Readable on the paper, by number."""
_ESCAPE = re.compile(rb"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]")

Style = tuple[str, bool]
"""Colour, and whether it is bold."""
Cells = list[tuple[str, Style]]
PLAIN: Style = (INK, False)


def record(command: Sequence[str], folder: Path, *, columns: int) -> list[tuple[float, bytes]]:
    """Run a command on a terminal of its own; return what it sent, and when, in seconds since it began.

    Raises
    ------
    subprocess.CalledProcessError
        If it does not end well.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    began = time.monotonic()
    sent = list(_read(ours, began))
    os.close(ours)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, b"".join(part for _, part in sent))
    return sent


def _read(terminal: int, began: float) -> Iterator[tuple[float, bytes]]:
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so when the last writer is gone
            return
        if not part:
            return
        yield time.monotonic() - began, part


@dataclass
class Screen:
    """As much of a terminal as programs need that write lines, and write over the last ones."""

    lines: list[Cells] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    style: Style = PLAIN

    def feed(self, data: bytes) -> None:
        """Take what a program sends: text, line ends, colours, cursor up, erase line; all else is passed over."""
        place = 0
        for found in _ESCAPE.finditer(data):
            self._write(data[place : found.start()].decode(errors="replace"))
            place = found.end()
            if found[2] is not None:
                self._obey(found[2].decode(), found[1].decode())
        self._write(data[place:].decode(errors="replace"))

    def _write(self, text: str) -> None:
        for character in text:
            if character == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append([])
            elif character == "\r":
                self.column = 0
            elif character >= " ":
                line = self.lines[self.row]
                line.extend([(" ", PLAIN)] * (self.column + 1 - len(line)))
                line[self.column] = (character, self.style)
                self.column += 1

    def _obey(self, command: str, argument: str) -> None:
        if argument.startswith("?"):
            return
        numbers = [int(number or 0) for number in argument.split(";")]
        if command == "A":
            self.row = max(self.row - max(numbers[0], 1), 0)
        elif command == "K":
            keep = self.column if numbers[0] == 0 else 0
            del self.lines[self.row][keep:]
        elif command == "m":
            self._colour(numbers)

    def _colour(self, numbers: list[int]) -> None:
        colour, bold = self.style
        while numbers:
            number = numbers.pop(0)
            if number == 0:
                colour, bold = PLAIN
            elif number == 1:
                bold = True
            elif number == 2:
                colour = DIM
            elif number == 38 and numbers[:1] == [5]:
                colour = _of_256(numbers[1])
                del numbers[:2]
            elif number == 38 and numbers[:1] == [2]:
                colour = "rgb({},{},{})".format(*numbers[1:4])
                del numbers[:4]
            elif number == 39:
                colour = INK
            elif 30 <= number <= 37 or 90 <= number <= 97:
                colour = COLOURS[number % 10]
        self.style = (colour, bold)


def _of_256(number: int) -> str:
    if number < 16:
        return COLOURS[number % 8]
    if number >= 232:
        return f"rgb({','.join([str(8 + 10 * (number - 232))] * 3)})"
    levels = [(number - 16) // 36, (number - 16) // 6 % 6, (number - 16) % 6]
    return f"rgb({','.join(str(level and 55 + 40 * level) for level in levels)})"


def draw(sent: Iterable[tuple[float, bytes]], prompt: str, *, columns: int, title: str) -> str:
    """Draw a recording as SVG: each line appears when it was written; pauses are shortened.

    Where nothing moves (print, old viewers, readers who asked for less motion), all of the last screen is there.
    """
    history = [[(0.0, [(character, ("#7ee787", True)) for character in "$ "] + [(c, PLAIN) for c in prompt])]]
    screen, drawn = Screen(), 0.0
    pieces = list(_hurried(sent))
    for number, (now, data) in enumerate(pieces):
        screen.feed(data)
        if now - drawn >= SHORTEST_STEP or number == len(pieces) - 1:
            drawn = now
            _note(history, screen, now)
    while history and not history[-1][-1][1]:
        history.pop()
    width, height = columns * WIDTH + 2 * MARGIN, len(history) * HEIGHT + 2 * MARGIN
    texts = [text for row, states in enumerate(history) for text in _line(row, states)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
            'xml:space="preserve">',
            f"<title>{escape(title)}</title>",
            "<style>",
            "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}",
            ".b{font-weight:bold}.w{visibility:hidden}",
            "@keyframes not-yet{from,to{visibility:hidden}}@keyframes meanwhile{from,to{visibility:visible}}",
            "@media (prefers-reduced-motion:reduce){text{animation:none!important}}",
            "</style>",
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
            *texts,
            "</svg>\n",
        ]
    )


def _hurried(sent: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Move what was sent to when it is shown."""
    pieces, times, before = list(sent), [0.6], 0.0
    for when, _ in pieces:
        times.append(times[-1] + min(when - before, LONGEST_PAUSE))
        before = when
    faster = min(LONGEST / times[-1], 1.0)
    for now, (_, data) in zip(times[1:], pieces, strict=True):
        yield now * faster, data


def _note(history: list[list[tuple[float, Cells]]], screen: Screen, now: float) -> None:
    """Keep each line that is other than it was; the first line is the prompt's."""
    for row, cells in enumerate(screen.lines, 1):
        if row == len(history):
            history.append([(now, list(cells))])
        elif history[row][-1][1] != cells:
            history[row].append((now, list(cells)))


def _line(row: int, states: list[tuple[float, Cells]]) -> Iterator[str]:
    for (since, cells), after in zip(states, [*states[1:], None], strict=True):
        if not cells:
            continue
        if after is None:
            shown = f'style="animation:not-yet {since:.2f}s"'
        else:
            shown = f'class="w" style="animation:meanwhile {after[0] - since:.2f}s {since:.2f}s"'
        yield f'<text y="{MARGIN + row * HEIGHT + 13}" {shown}>{"".join(_spans(cells))}</text>'


def _spans(cells: Cells) -> Iterator[str]:
    start = 0
    for end in range(1, len(cells) + 1):
        if end == len(cells) or cells[end][1] != cells[start][1]:
            text, (colour, bold) = "".join(character for character, _ in cells[start:end]), cells[start][1]
            if text.strip():
                left = MARGIN + start * WIDTH
                length = f'textLength="{len(text) * WIDTH:g}" lengthAdjust="spacingAndGlyphs"'
                weight = ' class="b"' if bold else ""
                yield f'<tspan x="{left:g}" {length} fill="{colour}"{weight}>{escape(text, quote=False)}</tspan>'
            start = end
