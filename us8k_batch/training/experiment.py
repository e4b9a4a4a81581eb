"""An experiment: every run of a grid once, however often it is killed or started side by side, and one table."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from us8k_batch.errors import LeaseHeldError, RequestError, Us8kError
from us8k_batch.folders import made
from us8k_batch.objects import LocalObjects
from us8k_batch.store.lease import hold, this_process
from us8k_batch.training.compare import Comparison, compare, table
from us8k_batch.training.data import Dataset, load_dataset
from us8k_batch.training.grid import Cell, read_grid
from us8k_batch.training.progress import Progress
from us8k_batch.training.rundir import load_run
from us8k_batch.training.splits import make_splits
from us8k_batch.training.train import TrainOptions, train

LEASES = ".leases"
POLL_SECONDS = 1.0
"""Time between looks at cells that another process works on."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an experiment."""

    folder: Path
    made: tuple[str, ...]
    """Cells that this process ran."""
    found: tuple[str, ...]
    """Cells that were there already, or that another process ran."""
    failed: Mapping[str, str]
    """Why a cell has no run."""
    comparison: Comparison | None
    """All runs, best first; None if there is none."""

    @property
    def exit_status(self) -> int:
        """0 if every cell has its run."""
        return 1 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Return what ``us8k experiment --json`` prints."""
        rows = self.comparison.to_dict() if self.comparison else {"rows": [], "notes": []}
        return {
            "out": str(self.folder),
            "made": list(self.made),
            "found": list(self.found),
            "failed": dict(self.failed),
            **rows,
        }

    def lines(self) -> list[str]:
        """Return the table for a terminal."""
        lines = table(self.comparison) if self.comparison else []
        lines += [f"failed: {name}: {why}" for name, why in self.failed.items()]
        return [*lines, f"{len(self.made)} runs made, {len(self.found)} were there, in {self.folder}"]


def experiment(
    grid: str,
    store: str,
    out: str,
    progress: Progress,
    *,
    jobs: int | None = None,
    allow_incomplete: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> Done:
    """Run every cell of a grid that has no run yet, all on one publication.

    Parameters
    ----------
    grid : str
        The TOML file; see `read_grid`.
    store : str
        Local path or URL.
    out : str
        Folder of the runs, made when needed; one run directory for each cell.
    progress : Progress
        Told which run is made, and how that gets on.
    jobs : int, optional
        Splits fitted at a time.
    allow_incomplete : bool
        Train on a publication in which clips still lack their results.
    wait : callable
        Lets time pass, in seconds, while another process works on the last cells.

    Returns
    -------
    Done
        A cell that fails, fails alone; the same command tries it again.

    Raises
    ------
    RequestError
        If the grid, a protocol or a run that is there already cannot be what was asked for; no cell was run.
    """
    cells = read_grid(grid)
    data = load_dataset(store, allow_incomplete=allow_incomplete)
    for protocol in dict.fromkeys(cell.protocol for cell in cells):
        make_splits(data, protocol)
    folder = Path(out)
    found = [cell for cell in cells if _is_there(folder, cell)]
    for cell in found:
        _refuse_other(folder / cell.name, cell, data)
    if found:
        progress.tell(f"{len(found)} of {len(cells)} runs are there already")
    asked = [
        TrainOptions(
            store=store,
            model=cell.model,
            protocol=cell.protocol,
            features=cell.features,
            out=str(folder / cell.name),
            seed=cell.seed,
            jobs=jobs,
            parameters=cell.parameters,
        )
        for cell in cells
    ]
    with made(folder):
        new, failed = _run_all(folder, cells, asked, data, progress, wait)
    there = [cell.name for cell in cells if _is_there(folder, cell)]
    comparison = compare([str(folder / name) for name in there]) if there else None
    return Done(folder, tuple(new), tuple(name for name in there if name not in new), failed, comparison)


def _run_all(
    folder: Path,
    cells: Sequence[Cell],
    asked: Sequence[TrainOptions],
    data: Dataset,
    progress: Progress,
    wait: Callable[[float], None],
) -> tuple[list[str], dict[str, str]]:
    made: list[str] = []
    failed: dict[str, str] = {}
    while True:
        held = []
        for number, (cell, options) in enumerate(zip(cells, asked, strict=True), 1):
            if cell.name in failed or _is_there(folder, cell):
                continue
            # Cells of another process are left to it; it may also be dead, and then they are free.
            try:
                with hold(LocalObjects(folder / LEASES / cell.name), this_process(f"us8k experiment {cell.name}")):
                    if _is_there(folder, cell):
                        continue
                    for leftover in folder.glob(f".{cell.name}-*"):
                        shutil.rmtree(leftover, ignore_errors=True)
                    progress.tell(f"run {number} of {len(cells)}: {cell.name}")
                    try:
                        train(options, progress, data)
                    except Us8kError as error:
                        failed[cell.name] = str(error)
                        progress.tell(f"{cell.name} failed: {error}")
                    else:
                        made.append(cell.name)
            except LeaseHeldError as error:
                held.append(str(error))
        if not held:
            break
        progress.tell(f"waiting for {len(held)} runs of another process")
        wait(POLL_SECONDS)
    return made, failed


def _is_there(folder: Path, cell: Cell) -> bool:
    """Tell whether a cell has its run; a run directory appears whole or not at all."""
    return (folder / cell.name).exists()


def _refuse_other(path: Path, cell: Cell, data: Dataset) -> None:
    """Refuse a run that is there and is not what the grid asks for now."""
    document = load_run(str(path)).document
    differences = []
    if document["store"]["snapshot_id"] != data.snapshot_id:
        differences.append("of another publication of the store")
    if document["parameters"] != dict(cell.parameters):
        changed = [name for name, value in cell.parameters.items() if document["parameters"].get(name) != value]
        differences.append(f"with another {', '.join(changed) or 'set of parameters'}")
    if differences:
        raise RequestError(f"{path}: is there already, {' and '.join(differences)}; choose another --out")
