"""Debian's Chromium, driven by Playwright, and the pages that are looked at in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from audio_stores import make_audio_store
from datasets import make_manifest, write_tone
from feature_stores import make_catalog, make_features_store
from playwright.sync_api import Browser, Page, sync_playwright
from run_documents import make_article, make_document, write_run

from us8k_batch.reporting.report import report
from us8k_batch.training.progress import Lines
from us8k_batch.training.train import TrainOptions, train
from us8k_batch.training.tune import TuneOptions, tune

URBAN = (
    "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling", "engine_idling", "gun_shot",
    "jackhammer", "siren", "street_music",
)  # fmt: skip
EVIL = "<script>alert(1)</script>"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
WIDTHS = {"desk": 1200, "phone": 390}


@dataclass
class Seen:
    """A page that is open, and what happened to it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """What the console said, scripts that failed, what the policy refused."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for."""


Look = Callable[..., Any]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start it once."""
    path = shutil.which("chromium")
    assert path is not None, "Chromium is not installed: run make test-browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the pages: of a store with and without its audio, of a run with its mistakes to hear, of two runs.

    A class of the store, and one of the runs, is named like a script.
    """
    folder = tmp_path_factory.mktemp("pages")
    manifest = make_manifest(folder / "data", clips=24, labels=("dog", EVIL, "rain"), seconds=0.5)
    write_tone(folder / "data/audio/clip000.wav", channels=2, rate=44100, seconds=0.5)
    (folder / "data/audio/clip004.wav").write_bytes(b"no sound")
    store = make_audio_store(manifest, folder / "store")
    made = {"store": {"dataset": str(manifest)}, "store-without-audio": {}}
    for name, options in made.items():
        report([store], str(folder / f"{name}.html"), **options)
    mistaken = make_manifest(
        folder / "mistaken",
        clips=2,
        formats=("WAV",),
        seconds=0.5,
        columns={"clip_id": lambda i: f"clip-{57 - 3 * i:03d}"},
    )
    runs = [str(write_run(folder / "honest", make_document(), epochs=3))]
    report(runs, str(folder / "run.html"), dataset=str(mistaken))
    runs.append(str(write_run(folder / "article", make_article(), epochs=3)))
    report(runs, str(folder / "runs.html"))
    return {name: folder / f"{name}.html" for name in (*made, "run", "runs")} | _real_runs(folder)


def _real_runs(folder: Path) -> dict[str, Path]:
    """Tune a model, train a network, and compare them, with the classes of UrbanSound8K and half its folds."""
    labels = [label for label in URBAN for _ in range(2)] * 10
    table = make_catalog(len(labels), len(URBAN), 5, columns={"label": labels})
    store = str(make_features_store(folder / "urban", table=table))
    runs = {"tuned": folder / "tuned", "network": folder / "network"}
    quiet = Lines(lambda _: None)
    tune(TuneOptions(store=store, model="knn", features="mean", trials=2, out=str(runs["tuned"])), quiet)
    small = {"epochs": 3, "units": 8, "patience": 2}
    asked = TrainOptions(store=store, model="article-mlp", out=str(runs["network"]), parameters=small)
    train(asked, quiet)
    report([str(one) for one in runs.values()], str(folder / "compared.html"))
    return {name: path / "report.html" for name, path in runs.items()} | {"compared": folder / "compared.html"}


@pytest.fixture
def look(chromium: Browser, pages: dict[str, Path]) -> Look:
    """Return what opens a page by name, with a colour scheme and a width."""

    @contextmanager
    def opened(name: str, *, scheme: str = "light", width: str = "desk") -> Iterator[Seen]:
        context = chromium.new_context(
            color_scheme="dark" if scheme == "dark" else "light",
            viewport={"width": WIDTHS[width], "height": 900},
            reduced_motion="reduce",
        )
        page = context.new_page()
        seen = Seen(page)
        page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("dialog", lambda dialog: (seen.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.goto(pages[name].as_uri())
        yield seen
        context.close()

    return opened
