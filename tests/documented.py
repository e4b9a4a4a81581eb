"""What a page tells its reader to type: commands of shells, and code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_YAML = re.compile(r" +\w+: ")
_PROGRAMS = ("us8k", "make", "python", "pip", "dask")
_WRAPPERS = re.compile(r"^(?:systemd-run --user |sbatch --wrap ')(us8k .*?)'?$")
"""What gives a command to a batch system: the command itself is what is run."""


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    kind: str
    """``sh`` or ``python``."""
    text: str

    def __str__(self) -> str:
        return self.text.partition("\n")[0]


def fenced(page: str, language: str) -> list[str]:
    """Return the blocks of a language."""
    return [text for found, text in _FENCE.findall(page) if found == language]


def steps(page: str) -> list[Step]:
    """Return all that a page says is to be typed, in its order, each thing once.

    That is blocks of ``sh`` and ``python``, indented blocks but YAML, and calls with arguments within a sentence.
    """
    found: list[Step] = []
    place = 0
    for fence in _FENCE.finditer(page):
        found.extend(_between(page[place : fence.start()]))
        place = fence.end()
        if fence[1] == "python":
            found.append(Step("python", fence[2]))
        elif fence[1] == "sh":
            found.extend(Step("sh", command) for command in commands(fence[2]))
    found.extend(_between(page[place:]))
    return list(dict.fromkeys(found))


def commands(lines: str) -> Iterator[str]:
    """Split lines of a shell into commands: without comments, each of several in a line by itself."""
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            lexer = shlex.shlex(line, posix=False, punctuation_chars="&;")
            lexer.whitespace_split, lexer.commenters = True, "#"
            words: list[str] = []
            for word in [*lexer, "&&"]:
                if word in {"&&", "&", ";", "do"}:
                    if words:
                        yield _WRAPPERS.sub(r"\1", " ".join(words))
                    words = []
                else:
                    words.append(word)


def _between(text: str) -> Iterator[Step]:
    for block in _INDENTED.findall(text):
        if not _YAML.match(block):
            yield from (Step("sh", command) for command in commands(block))
    for span in re.findall(r"`([^`\n]+)`", _INDENTED.sub("", text)):
        name, *rest = span.split()
        # A name alone, or with options only, says what something is called.
        arguments = rest[name == "us8k" :]
        if name in _PROGRAMS and arguments and not arguments[0].startswith("-") and "…" not in span:
            yield Step("sh", span)
