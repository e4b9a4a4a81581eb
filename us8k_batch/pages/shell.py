"""Put sections together into one self-contained page with a strict Content-Security-Policy."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from us8k_batch.errors import RequestError
from us8k_batch.folders import beside, made

MOST_NOTES = 4
"""Notes one below the other; there may be one for each fold."""
MOST_BYTES = 15_000_000
"""Size that a page stays below, so that it can be sent by mail and opens at once."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading, to which the list at its top leads."""

    title: str
    """Heading; text."""
    parts: tuple[Markup | str, ...]
    """What stands below it, from top to bottom: text becomes a paragraph, markup stays what it is."""

    @property
    def anchor(self) -> str:
        """Name that a link to it uses: ``#classes``."""
        return "s-" + (re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section")


def render_page(
    title: str, sections: Iterable[Section], *, lead: Sequence[Markup | str] = (), footer: str = ""
) -> str:
    """Make a page.

    Parameters
    ----------
    title : str
        Its heading, and the title of the window.
    sections : iterable of Section
        From top to bottom; their titles differ.
    lead : sequence of str or Markup
        What stands between heading and sections: what it is, and what matters most.
    footer : str
        Last line; the program's version stands before it.

    Returns
    -------
    str
        A whole HTML document that refers to nothing outside.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = "; ".join((
        "default-src 'none'",
        f"style-src {_digest(style)}",
        f"script-src {_digest(script)}",
        "img-src data:",
        "media-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ))  # fmt: skip
    shown = [Section(one.title, tuple(paragraph(part) for part in one.parts)) for one in sections]
    anchors = [one.anchor for one in shown]
    if len(set(anchors)) != len(anchors):
        raise ValueError(f"two sections of {title!r} have the same name: {anchors}")
    return _template().render(
        title=title,
        policy=policy,
        style=Markup(style),  # noqa: S704  # ours
        script=Markup(script),  # noqa: S704  # ours
        lead=[paragraph(part) for part in lead],
        sections=shown,
        footer=Markup("<p>us8k_batch {}. {}</p>").format(version("us8k-batch"), footer),
    )


def write_page(path: Path, page: str) -> int:
    """Write a page whole or not at all, over an older one if there is one; return its size in bytes.

    Raises
    ------
    RequestError
        If it cannot be written there.
    """
    data = page.encode("utf-8")
    try:
        temporary = beside(path)
        with made(path.parent):
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    return len(data)


def paragraph(part: Markup | str) -> Markup:
    """Return markup as it is, and text as a paragraph."""
    return part if isinstance(part, Markup) else Markup("<p>{}</p>").format(part)


def note(text: Markup | str) -> Markup:
    """Make a paragraph that stands out: something that a reader must know."""
    return Markup('<p class="note">{}</p>').format(text)


def notes(texts: Sequence[str]) -> Markup:
    """Make a paragraph that stands out of each text, and fold away what would fill the screen."""
    shown = Markup("").join(note(text) for text in texts[:MOST_NOTES])
    rest = texts[MOST_NOTES:]
    return shown + (folded(f"{len(rest):,} more", *(note(text) for text in rest)) if rest else Markup(""))


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Make a row of tiles, each a number or word and what it is: ``[("clips", "8,732")]``."""
    tiles = Markup("").join(
        # No sign of per cent alone on a line.
        Markup("<li><b>{}</b>{}</li>").format(str(value).replace(" %", "\N{NO-BREAK SPACE}%"), name)
        for name, value in pairs
    )
    return Markup('<ul class="facts">{}</ul>').format(tiles)


def grid(parts: Iterable[Markup]) -> Markup:
    """Put parts side by side where there is room."""
    return Markup('<div class="grid">{}</div>').format(Markup("\n").join(parts))


def card(title: str, *parts: Markup | str) -> Markup:
    """Make a framed part with a heading of the third level."""
    inside = Markup("\n").join(paragraph(part) for part in parts)
    return Markup('<div class="card"><h3>{}</h3>{}</div>').format(title, inside)


def folded(summary: str, *parts: Markup | str) -> Markup:
    """Make a part that is folded away behind a line until it is asked for, or printed."""
    inside = Markup("\n").join(paragraph(part) for part in parts)
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, inside)


def code(text: str) -> Markup:
    """Show what to type, as it is."""
    return Markup("<pre>{}</pre>").format(text)


def data_uri(data: bytes, mime: str) -> Markup:
    """Put bytes into an address, for ``src`` attributes."""
    return escape(f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (files("us8k_batch.pages") / name).read_text(encoding="utf-8").strip()


@cache
def _template() -> jinja2.Template:
    # StrictUndefined: a misspelt name is an error here, not a hole in the page.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_asset("page.html"))
