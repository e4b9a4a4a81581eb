"""us8k report: which page is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from feature_stores import make_features_store
from pages import assert_sound
from run_documents import make_document, write_run
from stores import TinyRun, make_clips

from us8k_batch.errors import RequestError
from us8k_batch.pages.shell import MOST_BYTES
from us8k_batch.reporting.report import report
from us8k_batch.training.progress import Lines
from us8k_batch.training.train import TrainOptions, train


def test_a_store_has_a_page(tmp_path: Path) -> None:
    """It is written where it was asked for, and its size and kind are told."""
    TinyRun(store=str(tmp_path / "store"), clips=make_clips()).run()
    done = report([str(tmp_path / "store")], str(tmp_path / "page.html"))
    assert (done.kind, done.out) == ("store", str(tmp_path / "page.html"))
    assert done.bytes == (tmp_path / "page.html").stat().st_size < MOST_BYTES
    assert "Clips per class" in assert_sound((tmp_path / "page.html").read_text(encoding="utf-8")).said


def test_a_run_and_several_have_pages(tmp_path: Path) -> None:
    """One run has its page, two are compared."""
    runs = [str(write_run(tmp_path / name, make_document())) for name in ("one", "two")]
    for targets, kind, said in ((runs[:1], "run", "How to make it again"), (runs, "runs", "2 runs compared")):
        done = report(targets, str(tmp_path / "page.html"))
        assert done.kind == kind
        assert said in assert_sound((tmp_path / "page.html").read_text(encoding="utf-8")).said


def test_figures_of_a_run_are_drawn_again(tmp_path: Path) -> None:
    """The same bytes as in the run itself, and only of one run, and not into it."""
    store = str(make_features_store(tmp_path / "store"))
    asked = TrainOptions(store=store, model="dummy", features="mean", out=str(tmp_path / "run"))
    run = train(asked, Lines(lambda _: None)).path
    report([str(run)], str(tmp_path / "run.html"), figures=str(tmp_path / "drawn"))
    ours = {file.name: file.read_bytes() for file in (tmp_path / "drawn").iterdir()}
    assert ours == {file.name: file.read_bytes() for file in (run / "figures").iterdir()}
    for targets, folder in (([store], "drawn"), ([str(run)], "run/figures")):
        with pytest.raises(RequestError, match=r"expected one run|lies in the run"):
            report(targets, str(tmp_path / "other.html"), figures=str(tmp_path / folder))


def test_a_run_is_not_written_into(tmp_path: Path) -> None:
    """Its report.html has a digest."""
    run = write_run(tmp_path / "one", make_document())
    with pytest.raises(RequestError, match="lies in the run"):
        report([str(run)], str(run / "report.html"))


def test_a_run_beside_a_store_is_refused(tmp_path: Path) -> None:
    """It says which target is no run."""
    run = write_run(tmp_path / "one", make_document())
    with pytest.raises(RequestError, match=f"{tmp_path}/store is no run"):
        report([str(run), str(tmp_path / "store")], str(tmp_path / "page.html"))


@pytest.mark.parametrize(("targets", "why"), [(["one", "two"], "2 targets"), (["nothing"], "no store here")])
def test_what_has_no_page_is_refused(targets: list[str], why: str, tmp_path: Path) -> None:
    """It says what was found in place of a store, and writes nothing."""
    with pytest.raises(RequestError, match=why):
        report([str(tmp_path / target) for target in targets], str(tmp_path / "page.html"))
    assert list(tmp_path.iterdir()) == []
