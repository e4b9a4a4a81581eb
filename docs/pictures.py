"""Make the pictures of README.md: what `make demo` shows in a terminal, and the page that it ends with.

python docs/pictures.py     # writes docs/demo.svg and docs/report.png; needs Chromium, and make demo's environment
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from terminal import draw, record

HERE = Path(__file__).parent
COLUMNS = 104
"""Of the terminal: what the demo's longest line takes."""
TITLE = (
    "make demo: a synthetic dataset is made and extracted, and a model is trained; at the end is a page to look at"
)
WIDTH, HEIGHT = 1200, 775
"""Of what is shown of the page, in pixels; GitHub shows it at 830."""
SECTION = "s-see-and-hear"
"""Where the page is opened: below its counts, and without the path that its title has."""
COLOURS = 128
"""Of the picture of the page, which then has less than half the bytes."""


def main() -> None:
    """Run the demo from its beginning, and make both pictures."""
    root = HERE.parent
    shutil.rmtree(root / "demo", ignore_errors=True)
    sent = record(["make", "demo"], root, columns=COLUMNS)
    (HERE / "demo.svg").write_text(draw(sent, "make demo", columns=COLUMNS, title=TITLE))
    photograph(root / "demo/report.html", HERE / "report.png")


def photograph(page: Path, picture: Path) -> None:
    """Open a page in Chromium, and write what is seen of it."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", reduced_motion="reduce"
        )
        opened = context.new_page()
        opened.goto(f"{page.absolute().as_uri()}#{SECTION}")
        taken = opened.screenshot()
        browser.close()
    Image.open(io.BytesIO(taken)).quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    main()
