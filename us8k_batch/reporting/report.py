"""Write the page that is asked for: of a store, or of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from us8k_batch.errors import RequestError
from us8k_batch.pages.shell import write_page
from us8k_batch.reporting.store_page import store_page


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written."""

    out: str
    """Where it is."""
    kind: str
    """What it is of: ``store``."""
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
    say: Callable[[str], None] = lambda message: None,  # noqa: ARG005  # the signature
) -> Report:
    """Write one self-contained HTML page about a store.

    Parameters
    ----------
    targets : sequence of str
        One store: a path or URL.
    out : str
        Local file to write; an older one is replaced.
    dataset : str, optional
        The dataset that the store was made from, for what is to be seen and heard of single clips.
    say : callable
        Told what is being done.

    Returns
    -------
    Report

    Raises
    ------
    RequestError
        If a target is no store, or the page cannot be written.
    """
    if len(targets) != 1:
        raise RequestError(f"{len(targets)} targets: expected one store")
    (target,) = targets
    if is_run(target):
        raise RequestError(f"{target}: is a run; its page is {target}/report.html")
    page = store_page(target, dataset, say)
    return Report(out, "store", write_page(Path(out), page))


def is_run(target: str) -> bool:
    """Tell whether a path is a run directory's."""
    return (Path(target) / "run.json").is_file()
