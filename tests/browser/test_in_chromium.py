"""Pages as a reader has them: seen, heard, by keyboard, in the dark, on a phone and on paper; nothing leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import EVIL, WIDTHS
from playwright.sync_api import Page

STORES = ("store", "store-without-audio")
every_page = pytest.mark.parametrize("name", (*STORES, "run", "runs", "tuned", "network", "compared"))
every_store = pytest.mark.parametrize("name", STORES)

HEAR_ALL = """async () => {
  const found = [];
  for (const audio of document.querySelectorAll("audio[src]")) {
    audio.play();
    await new Promise(done => {
      for (const event of ["timeupdate", "ended", "error"])
        audio.addEventListener(event, () => (event !== "timeupdate" || audio.currentTime > 0) && done());
    });
    found.push({name: audio.getAttribute("aria-label"), error: audio.error && audio.error.message,
                seconds: audio.duration, heard: audio.currentTime});
  }
  return found;
}"""
HEARD = """one => new Promise(done => {
  const look = () => one.currentTime > 0 && done();
  one.addEventListener("timeupdate", look);
  look();
})"""
SCROLLS = """() => [...document.querySelectorAll("body *")]
  .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1 && one.clientWidth
    && ["auto", "scroll"].includes(getComputedStyle(one).overflowX))
  .map(one => [one.className, one.getAttribute("aria-label"), one.scrollWidth])"""
SEE_ALL = """() => [...document.querySelectorAll("svg, img")].filter(one => one.checkVisibility()).map(one => {
  const box = one.getBoundingClientRect();
  const drawn = one.tagName === "IMG" ? one.naturalWidth
    : [...one.querySelectorAll("path, rect, circle, image, text")].filter(part => {
        const inside = part.getBBox();
        return inside.width > 0 || inside.height > 0;
      }).length;
  return {what: one.getAttribute("aria-label") || one.alt || one.parentNode.className,
          area: box.width * box.height, drawn, bar: one.parentNode.className.startsWith?.("bar")};
})"""


@every_page
def test_nothing_goes_wrong_and_nothing_leaves(look: Any, name: str) -> None:
    """No error, nothing that the policy refuses, no request but for the file and what it holds."""
    with look(name) as seen:
        seen.page.wait_for_load_state("networkidle")
        assert seen.errors == []
        assert seen.requests[0].startswith("file://")
        assert [one[:80] for one in seen.requests[1:] if not one.startswith("data:")] == []


@every_page
def test_every_figure_is_drawn(look: Any, name: str) -> None:
    """Each takes room and shows something; images were decoded."""
    with look(name) as seen:
        found = seen.page.evaluate(SEE_ALL)
        assert len(found) > (10 if name in STORES else 1)
        assert [one for one in found if not one["area"]] == []
        assert [one for one in found if not one["drawn"] and not one["bar"]] == []


def test_every_player_plays(look: Any) -> None:
    """One of each class, and both of the comparison: each has a length, and time passes in it."""
    with look("store") as seen:
        found = seen.page.evaluate(HEAR_ALL)
        assert len(found) == 3 + 2
        for one in found:
            assert one["error"] is None
            assert one["seconds"] == pytest.approx(0.5, abs=0.1), one
            assert one["heard"] > 0, one
        assert seen.errors == []


def test_a_runs_mistakes_can_be_heard(look: Any) -> None:
    """Those of the clips that the dataset has."""
    with look("run") as seen:
        found = seen.page.evaluate(HEAR_ALL)
        assert [one["name"] for one in found] == ["clip-057", "clip-054"]
        assert [one["error"] for one in found] == [None, None]
        assert all(one["heard"] > 0 for one in found)


@every_page
def test_every_link_leads_to_a_part_that_is_seen(look: Any, name: str) -> None:
    """Each of the list at the top brings its heading into view."""
    with look(name) as seen:
        links = seen.page.locator("nav a")
        for i in range(links.count()):
            links.nth(i).click()
            heading = seen.page.locator(f"[id='{links.nth(i).get_attribute('href')[1:]}']")
            assert heading.evaluate("one => { const y = one.getBoundingClientRect().top; return y >= 0 && y < 900; }")


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(look: Any, name: str, scheme: str, width: str) -> None:
    """Names, roles, contrast, order of headings, what can be reached by keyboard; folded parts are unfolded first."""
    with look(name, scheme=scheme, width=width) as seen:
        seen.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        found = Axe().run(seen.page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200], len(one["nodes"])) for one in found] == []


@every_page
def test_a_phone_shows_it_without_scrolling_sideways(look: Any, name: str) -> None:
    """Neither the page nor a part of it, also of what is folded: charts and wide tables have another form there."""
    with look(name, width="phone") as seen:
        seen.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= WIDTHS["phone"]
        assert seen.page.evaluate(SCROLLS) == []


@every_page
def test_a_chart_is_seen_once(look: Any, name: str) -> None:
    """At a desk, on a telephone and on paper, in the form that is made for it."""
    for width, media, form in (("desk", "screen", "broad"), ("phone", "screen", "slim"), ("phone", "print", "broad")):
        with look(name, width=width) as seen:
            seen.page.emulate_media(media=media)
            shown = seen.page.locator("svg.plot:visible")
            assert shown.count() > 0
            assert seen.page.locator(f"svg.plot.{form}:visible").count() == shown.count()


@every_page
def test_it_is_dark_in_the_dark(look: Any, name: str) -> None:
    """Paper and ink change places."""
    brightness = {}
    for scheme in ("light", "dark"):
        with look(name, scheme=scheme) as seen:
            style = "getComputedStyle(document.body)"
            brightness[scheme] = [
                seen.page.evaluate(f"{style}.{part}.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)")
                for part in ("color", "backgroundColor")
            ]
    ink, paper = brightness["light"]
    assert (ink < 150, paper > 700) == (True, True)
    ink, paper = brightness["dark"]
    assert (ink > 600, paper < 150) == (True, True)


@every_page
def test_paper_has_everything_that_can_be_read(look: Any, name: str) -> None:
    """What is folded is unfolded, players and buttons are gone, ink is dark whatever the screen is, and it prints."""
    with look(name, scheme="dark") as seen:
        page = seen.page
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert page.locator("audio:visible, button:visible, nav:visible").count() == 0
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 31, 38)"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0
        assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("name", [*STORES, "run"])
def test_a_class_named_like_a_script_stays_text(look: Any, name: str) -> None:
    """It is shown as it is, and there is one script: ours."""
    with look(name) as seen:
        page = seen.page
        assert page.locator("script").count() == 1
        assert page.get_by_text(EVIL, exact=True).count() >= 3
        assert seen.errors == []


def chosen(page: Page) -> str:
    """Return the name of the point that has the focus."""
    return str(page.evaluate("document.activeElement.getAttribute('aria-label')"))


@every_store
def test_the_map_is_used_by_keyboard(look: Any, name: str) -> None:
    """Tab reaches one point; arrows go from there to another one, which is named, and heard if it has a sound."""
    with look(name) as seen:
        page = seen.page
        page.locator("[data-map] button").last.focus()
        in_the_map = "document.activeElement.matches('svg.clips *')"
        tabs = 0
        while not page.evaluate(in_the_map):  # past the controls of the player
            page.keyboard.press("Tab")
            tabs += 1
            assert tabs < 20
        first = chosen(page)
        visited = {first}
        for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown") * 3:
            page.keyboard.press(key)
            visited.add(chosen(page))
        assert len(visited) > 2
        assert page.locator("[data-now]").inner_text() == chosen(page)
        if name == "store":
            page.locator("[data-sound-of-map]").evaluate(HEARD)
        page.keyboard.press("Tab")
        assert not page.evaluate(in_the_map), "it lets go of the focus"
        assert seen.errors == []


def test_a_click_near_a_point_plays_it(look: Any) -> None:
    """The point that was clicked is the one that is named and heard; another player falls silent."""
    with look("store") as seen:
        page = seen.page
        page.locator(".card audio").first.evaluate("one => { one.loop = true; return one.play(); }")
        point = page.locator("svg.clips [role=button]").nth(5)
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.locator("[data-sound-of-map]").evaluate(HEARD)
        assert page.locator("svg.clips .chosen").count() == 1
        assert page.locator("[data-now]").inner_text() == page.locator("svg.clips .chosen").get_attribute(
            "aria-label"
        )
        assert page.locator(".card audio").first.evaluate("one => one.paused")


def test_a_class_can_be_seen_alone(look: Any) -> None:
    """Its button fades the others, says that it is pressed, and a second press brings them back."""
    with look("store") as seen:
        page = seen.page
        button = page.locator("[data-map] button").first
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert page.locator("svg.clips .faded").count() == 2
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        assert page.locator("svg.clips .faded").count() == 0


@every_page
def test_it_opens_at_once(look: Any, name: str, pages: dict[str, Path]) -> None:
    """All is there when the document is: nothing is loaded later."""
    with look(name) as seen:
        assert seen.page.evaluate("document.readyState") == "complete"
        assert pages[name].stat().st_size < 15_000_000
