"""Figures: drawings from elsewhere are seen under the policy and can do nothing; sounds and images have names."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from pages import Page, assert_sound

from us8k_batch.errors import DamageError
from us8k_batch.pages.figure import INK, figure, image, inline_svg, player
from us8k_batch.pages.shell import Section, render_page

SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'
)


def test_a_drawing_of_matplotlib_is_shown_with_the_ink_of_the_page() -> None:
    """Two of them on one page: no style that the policy refuses, all references hit, colours are kept."""
    from matplotlib.figure import Figure

    drawn = Figure()
    axes = drawn.add_subplot()
    axes.plot([0, 1], [0, 1], color=INK)
    axes.imshow([[0, 1]])
    axes.set_title("<b>title</b>", color=INK)
    file = io.StringIO()
    drawn.savefig(file, format="svg")
    parts = [figure(inline_svg(file.getvalue(), "a line", name), "caption") for name in ("one", "two")]
    page = assert_sound(render_page("page", [Section("s", tuple(parts))]))
    assert len(page.all("svg")) == 2
    assert any(attributes.get("stroke") == "currentColor" for attributes in page.all("path"))
    assert any(attributes.get("stroke-width") for attributes in page.all("path"))
    assert len(page.all("image")) == 2


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<foreignObject><p>x</p></foreignObject>",
        "<style>*{fill:red}</style>",
        '<g onload="alert(1)"/>',
        '<image xlink:href="https://example.org/x.png"/>',
        '<use href="https://example.org/x.svg#y"/>',
        '<a href="javascript:alert(1)">x</a>',
        '<path style="fill:url(https://example.org/x)"/>',
        '<path fill="url(https://example.org/x)"/>',
        '<animate attributeName="href" values="javascript:alert(1)"/>',
        '<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>',
    ],
)
def test_a_drawing_can_do_nothing(inside: str) -> None:
    """Whatever a stranger's drawing holds, nothing of it runs or is fetched."""
    made = inline_svg(SVG.format(inside), "drawing", "one")
    assert "example.org" not in made
    assert "alert" not in made
    assert {tag for tag, _ in Page(made).tags} <= {"svg", "g", "image", "use", "path"}


@given(st.text())
def test_text_in_a_drawing_is_text(text: str) -> None:
    """Words of a drawing never become tags, nor end it."""
    shown = Page(inline_svg(SVG.format(f"<text>{Markup.escape(text)}</text>"), text, "one")) if _xml(text) else None
    assert shown is None or [tag for tag, _ in shown.tags] == ["svg", "text"]


@pytest.mark.parametrize("svg", ["", "no drawing", "<svg", SVG.format("<g>"), "<svg><g/></svg>"])
def test_what_is_no_drawing_is_refused(svg: str) -> None:
    """It says which one."""
    with pytest.raises(DamageError, match="one: expected an SVG drawing"):
        inline_svg(svg, "drawing", "one")


def test_entities_cannot_fill_the_memory() -> None:
    """A document type is cut off, so that its entities are unknown."""
    bomb = '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">]>' + SVG.format("<text>&a;</text>").partition("?>")[2]
    with pytest.raises(DamageError, match="one: expected an SVG drawing"):
        inline_svg(bomb, "drawing", "one")


def test_images_and_sounds_are_in_the_page_and_have_names() -> None:
    """Bytes become addresses of their own, names are text."""
    made = image(b"\x89PNG", 'a "picture"', width=4, height=3) + player(b"fLaC", "audio/flac", "a <dog>")
    page = assert_sound(render_page("page", [Section("s", (made,))]))
    (shown,), (heard,) = page.all("img"), page.all("audio")
    assert shown["src"] == "data:image/png;base64,iVBORw=="
    assert (heard["src"], heard["aria-label"]) == ("data:audio/flac;base64,ZkxhQw==", "a <dog>")


def _xml(text: str) -> bool:
    """Tell whether a text may stand in XML at all."""
    return all(c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff") for c in text)
