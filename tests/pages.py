"""Look at a page without a browser: what a strict policy would refuse, what is broken, and what it says."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})


class Page(HTMLParser):
    """A page, taken apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.inside: dict[str, list[str]] = {"style": [], "script": []}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "tags that are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself, as those of SVG may."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Refuse what was not opened."""
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        """Note text."""
        place = self._open[-1] if self._open else ""
        self.inside.get(place, self.words).append(data)

    @property
    def said(self) -> str:
        """All its text, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]


def assert_sound(text: str) -> Page:
    """Prove that a page needs nothing from outside, runs nothing but ours, and hangs together; return it."""
    page = Page(text)
    _assert_policy(page)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id stands there twice"
    references = set(re.findall(r"url\(#([^)]+)\)", text))
    for tag, attributes in page.tags:
        assert "style" not in attributes, f"<{tag}> has a style that the policy refuses"
        assert not [name for name in attributes if name.startswith("on")], f"<{tag}> has a handler"
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            address = attributes.get(name, "#")
            assert address.startswith(("#", "data:")), f"<{tag} {name}> leaves the page: {address[:80]}"
            references |= {address[1:]} if address.startswith("#") and len(address) > 1 else set()
        if tag == "img":
            assert attributes["alt"]
        if tag in ("audio", "svg", "nav"):
            assert attributes.get("aria-label") or attributes.get("aria-hidden"), f"<{tag}> has no name"
    assert references <= set(ids), f"lead nowhere: {references - set(ids)}"
    return page


def _assert_policy(page: Page) -> None:
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy
    for kind in ("style", "script"):
        (content,) = page.inside[kind]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
