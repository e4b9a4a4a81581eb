"""Players of a run's clips."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import make_manifest
from pages import Page
from run_documents import make_document, write_run

from us8k_batch.errors import RequestError
from us8k_batch.reporting.report import report
from us8k_batch.reporting.run_sounds import players


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three clips, one of which is no sound."""
    folder = tmp_path_factory.mktemp("sounds")
    made = make_manifest(folder, clips=3, labels=("a", "b"), formats=("WAV",), seconds=0.2)
    (folder / "audio/clip001.wav").write_bytes(b"no sound")
    return made


def test_each_clip_has_a_player_or_a_reason(manifest: Path) -> None:
    """A clip that cannot be decoded says why; one that is not in the dataset is left out."""
    asked = ["audio/clip000.wav", "audio/clip001.wav", "elsewhere.wav"]
    found = players(asked, str(manifest), lambda _: None)
    assert set(found) == set(asked[:2])
    (audio,) = Page(found[asked[0]]).all("audio")
    assert audio["src"].startswith("data:audio/mpeg;base64,")
    assert audio["aria-label"] == asked[0]
    assert "No sound: " in found[asked[1]]


def test_another_dataset_is_refused(manifest: Path) -> None:
    """One that has none of the clips is named."""
    with pytest.raises(RequestError, match="has no clip of the run"):
        players(["elsewhere.wav"], str(manifest), lambda _: None)


def test_a_runs_mistakes_are_heard(manifest: Path, tmp_path: Path) -> None:
    """us8k report RUN --dataset puts players beside the mistakes that the dataset has; several runs have none."""
    metadata = manifest.read_text().splitlines()
    renamed = manifest.with_name("renamed.csv")
    ids = ["clip_id", "clip-057", "clip-054", "other"]
    renamed.write_text("\n".join(f"{line},{name}" for line, name in zip(metadata, ids, strict=True)) + "\n")
    run = str(write_run(tmp_path / "run", make_document()))
    report([run], str(tmp_path / "page.html"), dataset=str(renamed))
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(page.all("audio")) == 1
    assert "No sound: the dataset has no such clip" in page.said
    with pytest.raises(RequestError, match="of one run"):
        report([run, run], str(tmp_path / "page.html"), dataset=str(renamed))
