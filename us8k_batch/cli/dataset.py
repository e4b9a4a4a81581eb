"""``us8k check`` and ``synth``: look at a dataset, or make one."""

from __future__ import annotations

import click

from us8k_batch.cli.base import Output, columns_option, command


@command("check", "us8k check UrbanSound8K")
@click.argument("dataset")
@columns_option
def check(output: Output, *, dataset: str, columns: tuple[str, ...]) -> int:
    """Look at every clip of DATASET: missing, damaged, non-genuine, duplicate, leaking between folds; formats."""
    from us8k_batch.catalog.check import check as look
    from us8k_batch.catalog.columns import read_columns

    report = look(dataset, columns=read_columns(columns))
    output.answer("\n".join(report.lines()), report.to_dict())
    return 1 if report.findings else 0


@command("synth", "us8k synth synthetic/ --clips 500", interrupted="the dataset is not whole: remove it")
@click.argument("folder")
@click.option("--clips", type=click.IntRange(1), default=500, show_default=True, metavar="N", help="Number of clips.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which dataset; the same seed, the same bytes.")
@click.option("--seconds", type=float, default=4.0, show_default=True, help="Duration of the longest clips.")
def synth(output: Output, *, folder: str, clips: int, seed: int, seconds: float) -> int:
    """Make a synthetic dataset in UrbanSound8K's exact layout in FOLDER."""
    from us8k_batch.catalog.synth import synthesise

    synthesise(folder, clips=clips, seed=seed, seconds=seconds)
    output.result(f"{clips} clips in {folder}", {"folder": folder, "clips": clips, "seed": seed})
    return 0
