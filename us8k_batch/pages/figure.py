"""Figures with captions: images, drawings made elsewhere as SVG, and players of sound."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from markupsafe import Markup, escape

from us8k_batch.errors import DamageError
from us8k_batch.pages.shell import data_uri

INK = "#010203"
"""Colour that a drawing is given where it shall have the page's ink, in light and dark."""
KEPT = frozenset({
    "svg", "g", "defs", "path", "use", "text", "tspan", "rect", "circle", "ellipse", "line", "polyline", "polygon",
    "image", "clipPath", "title", "desc", "linearGradient", "radialGradient", "stop", "pattern",
})  # fmt: skip
"""Elements that a drawing keeps; none can run or fetch anything."""
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_DECLARATION = re.compile(r"([a-z-]+)\s*:\s*([^;]+)")
_FONT = re.compile(r"(?:(?P<style>italic|oblique)\s+)?(?:(?P<weight>bold|\d00)\s+)?(?P<size>[\d.]+)px\s")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def figure(content: Markup, caption: str | Markup) -> Markup:
    """Put a caption below something."""
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(content, caption)


def image(data: bytes, alternative: str, *, mime: str = "image/png", width: int, height: int) -> Markup:
    """Show an image, with words for who does not see it; `width` and `height` in pixels of the page."""
    return Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(
        data_uri(data, mime), alternative, width, height
    )


def player(data: bytes, mime: str, label: str) -> Markup:
    """Make a player of a sound; `label` says what is heard."""
    return Markup('<audio controls preload="metadata" aria-label="{}" src="{}"></audio>').format(
        label, data_uri(data, mime)
    )


def inline_svg(svg: str, alternative: str, prefix: str) -> Markup:
    """Put a drawing, such as matplotlib's, into a page, whose policy lets it be seen then, and which it cannot harm.

    Styles become attributes, which the policy allows; elements other than `KEPT`, ``on…`` attributes and references
    to anything but the drawing itself and ``data:image/`` are left out; black text is not enough for a dark page, so
    what has the colour `INK` gets the page's.

    Parameters
    ----------
    svg : str
        The drawing; an XML declaration and document type are left out.
    alternative : str
        Words for who does not see it.
    prefix : str
        Makes its ids differ from those of other drawings; a name that only it has on its page.

    Raises
    ------
    DamageError
        If it is no SVG.
    """
    start = svg.find("<svg")
    try:
        # Cutting the document type off leaves no way to define entities, which a parser would expand without limit.
        root = ET.fromstring(svg[start:]) if start >= 0 else None  # noqa: S314
    except ET.ParseError as error:
        raise DamageError(f"{prefix}: expected an SVG drawing: {error}") from error
    if root is None or root.tag != f"{_SVG}svg":
        raise DamageError(f"{prefix}: expected an SVG drawing")
    for name in ("width", "height", "role", "class"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", alternative)
    root.set("class", "drawn")
    root.set("stroke-linejoin", "round")  # matplotlib says so in a style sheet of its own
    return Markup("").join(_written(root, prefix))


def _written(element: ET.Element, prefix: str) -> Iterator[Markup]:
    name = element.tag.removeprefix(_SVG)
    attributes = dict(_attributes(element, prefix))
    yield Markup("<{}{}>").format(
        name, Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in attributes.items())
    )
    yield escape((element.text or "").strip())
    for child in element:
        if child.tag.removeprefix(_SVG) in KEPT and child.tag.startswith(_SVG):
            yield from _written(child, prefix)
        yield escape((child.tail or "").strip())
    yield Markup("</{}>").format(name)


def _attributes(element: ET.Element, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in element.attrib.items():
        if key == "style":
            for name, setting in _DECLARATION.findall(value):
                yield from _presented(name, setting.strip(), prefix)
        elif key in (f"{_XLINK}href", "href"):
            if value.startswith("#"):
                yield "href", f"#{prefix}-{value[1:]}"
            elif value.startswith("data:image/"):
                yield "href", value
        elif key == "id":
            yield "id", f"{prefix}-{value}"
        elif re.fullmatch(r"[A-Za-z][A-Za-z-]*", key) and not key.lower().startswith("on"):
            yield from _presented(key, value, prefix)


def _presented(name: str, value: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Give a property as attributes; ``font`` is a shorthand, which attributes do not have."""
    if name == "font":
        found = _FONT.match(value)
        if found:
            yield from ((f"font-{part}", text) for part, text in found.groupdict().items() if text)
        return
    if "url(" in value:
        value = _REFERENCE.sub(rf"url(#{prefix}-\1)", value) if _REFERENCE.fullmatch(value) else "none"
    yield name, "currentColor" if value == INK else value
