"""Write the page that is asked for: of a store, of a run, or of several runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from us8k_batch.errors import RequestError
from us8k_batch.pages.shell import write_page
from us8k_batch.reporting.store_page import store_page


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written."""

    out: str
    """Where it is."""
    kind: str
    """What it is of: ``store``, ``run`` or ``runs``."""
    bytes: int
    """Its size."""

    def to_dict(self) -> dict[str, Any]:
        """Return what ``us8k report --json`` prints."""
        return asdict(self)


def report(
    targets: Sequence[str],
    out: str,
    *,
    dataset: str | None = None,
    columns: Mapping[str, str] | None = None,
    figures: str | None = None,
    say: Callable[[str], None] = lambda message: None,  # noqa: ARG005  # the signature
) -> Report:
    """Write one self-contained HTML page about a store, a run, or several runs side by side.

    Parameters
    ----------
    targets : sequence of str
        One store: a path or URL; or one run directory or more.
    out : str
        Local file to write; an older one is replaced.
    dataset : str, optional
        The dataset that the store was made from, for what is to be seen and heard of single clips: a run's worst
        mistakes.
    columns : mapping, optional
        As `us8k_batch.catalog.dataset.open_catalog` takes them.
    figures : str, optional
        Folder for the figures of one run as PNG and SVG files, made if needed.
    say : callable
        Told what is being done.

    Returns
    -------
    Report

    Raises
    ------
    RequestError
        If a target is neither, or the page cannot be written.
    DamageError
        If a run or a published table is not what was written.
    """
    runs = [target for target in targets if is_run(target)]
    if len(targets) > 1 and len(runs) < len(targets):
        other = next(target for target in targets if target not in runs)
        raise RequestError(f"{len(targets)} targets: expected one store, or runs, but {other} is no run")
    if len(runs) > 1 and dataset is not None:
        raise RequestError(f"--dataset {dataset}: single clips are heard on the page of a store or of one run")
    _refuse_inside(out, runs)
    if figures is not None:
        if len(targets) != 1 or not runs:
            raise RequestError(f"--figures {figures}: expected one run, whose figures are drawn")
        _refuse_inside(figures, runs)
        _draw(runs[0], figures, say)
    if len(runs) > 1:
        kind, page = "runs", _runs_page(runs, say)
    elif runs:
        kind, page = "run", _run_page(runs[0], dataset, columns, say)
    else:
        kind, page = "store", store_page(targets[0], dataset, say)
    return Report(out, kind, write_page(Path(out), page))


def _draw(run: str, folder: str, say: Callable[[str], None]) -> None:
    from us8k_batch.training.figures import draw_figures
    from us8k_batch.training.rundir import DOCUMENT, load_run
    from us8k_batch.training.shape import refuse_other

    document = load_run(run).document
    refuse_other(document, f"{run}/{DOCUMENT}")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"--figures {folder}: cannot be written ({error.strerror})") from error
    for problem in draw_figures(document["scores"], document["classes"], Path(folder)):
        say(problem)


def is_run(target: str) -> bool:
    """Tell whether a path is a run directory's."""
    return (Path(target) / "run.json").is_file()


def _runs_page(runs: Sequence[str], say: Callable[[str], None]) -> str:
    # What makes such a page needs the train extra, which the page of a store does without.
    from us8k_batch.training.compare import compare
    from us8k_batch.training.compare_page import compare_page

    say(f"comparing {len(runs)} runs")
    return compare_page(compare(runs))


def _run_page(run: str, dataset: str | None, columns: Mapping[str, str] | None, say: Callable[[str], None]) -> str:
    from us8k_batch.training.page import mistakes_of, run_page
    from us8k_batch.training.rundir import load_run

    say(f"checking the files of {run}")
    loaded = load_run(run)
    heard: dict[str, Markup] = {}
    if dataset is not None:
        from us8k_batch.reporting.run_sounds import players

        mistakes = [one.clip_id for one in mistakes_of(loaded.path, loaded.document)]
        heard = players(mistakes, dataset, say, columns)
    return run_page(loaded.path, loaded.document, heard=heard, remarks=loaded.warnings)


def _refuse_inside(out: str, runs: Sequence[str]) -> None:
    """Refuse to write into a run, whose files have digests."""
    for run in runs:
        if Path(out).resolve().is_relative_to(Path(run).resolve()):
            raise RequestError(f"{out}: lies in the run {run}, whose files have digests; choose another --out")
