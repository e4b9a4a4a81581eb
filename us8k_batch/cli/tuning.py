"""``us8k tune`` and ``experiment``: parameters chosen without the test fold, and grids of runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import click

from us8k_batch.cli.base import GOES_ON, Output, command


@command(
    "tune",
    "us8k tune features/ --model svm --trials 30 --out runs/svm-tuned",
    interrupted=GOES_ON,
)
@click.argument("store")
@click.option("--model", default="xgboost", show_default=True, metavar="NAME", help="A model with a search space.")
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Sets of parameters to try for each fold; the first one is the defaults.",
)
@click.option("--features", metavar="SET", help="mean, mean+std, salamon14 or all (default: the model's).")
@click.option("--out", metavar="RUN", help="The run directory, a new one (default: the next free name in runs/).")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter that is fixed and not searched; may be repeated.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="What all random numbers start from; with --jobs 1, the same seed gives the same numbers.",
)
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Trials at a time (default: cores, or workers).")
@click.option("--allow-incomplete", is_flag=True, help="Train although clips still lack their results.")
@click.option("--scheduler", metavar="ADDRESS", help="Fit on the workers of a running Dask scheduler.")
@click.option("--scheduler-file", metavar="FILE", help="Fit on those of the scheduler that wrote this file.")
@click.option(
    "--track",
    "trackers",
    multiple=True,
    metavar="NAME",
    help="Also hand the run to mlflow, tensorboard or comet (offline); may be repeated.",
)
def tune(
    output: Output,
    *,
    assignments: tuple[str, ...],
    scheduler: str | None,
    scheduler_file: str | None,
    trackers: tuple[str, ...],
    jobs: int | None,
    **given: Any,
) -> int:
    """Choose parameters of a model for each fold of STORE on the other folds, and test them on that fold.

    An interrupted search goes on when the same command is given again.
    """
    from us8k_batch.cli.learning import TerminalLearning
    from us8k_batch.config import read_options
    from us8k_batch.training.tracking import refuse_unknown, track_run
    from us8k_batch.training.tune import TuneOptions
    from us8k_batch.training.tune import tune as run

    refuse_unknown(trackers)
    parameters = read_options(None, assignments)
    cluster: Any = nullcontext((None, jobs))
    if scheduler or scheduler_file:
        from us8k_batch.cluster.executor import open_executor
        from us8k_batch.cluster.where import Where

        cluster = open_executor(Where(scheduler=scheduler, scheduler_file=scheduler_file), output.say)
    with cluster as (executor, threads):
        options = TuneOptions(parameters=parameters, jobs=jobs or threads, **given)
        tuned = run(options, TerminalLearning(output), executor)
    failed = track_run(tuned.path, trackers)
    scores, tuning = tuned.scores, tuned.document["tuning"]
    lines = [
        f"{tuned.document['model']} on {tuned.document['features']['name']}, tuned without each test fold:",
        f"  accuracy {100 * scores.accuracy_mean:.2f} % ± {100 * (scores.accuracy_std or 0.0):.2f} over "
        f"{len(scores.folds)} folds",
        *(f"  fold {name}: {_chosen(one, tuning['space'])}" for name, one in tuning["splits"].items()),
        *(f"  note: {warning}" for warning in [*tuned.document["warnings"], *failed]),
        f"all of it: {tuned.path}/report.html",
    ]
    chosen = {name: one["parameters"] for name, one in tuning["splits"].items()}
    output.result("\n".join(lines), {**tuned.to_dict(), "chosen": chosen, "tracking": failed})
    return 0


def _chosen(one: dict[str, Any], space: Iterable[str]) -> str:
    """Say what one fold's search chose, and how that did on the folds that it was chosen on."""
    from us8k_batch.training.spaces import describe

    told = describe(space, one["parameters"])
    return f"{told} (trial {one['trial']}, {100 * one['accuracy']:.1f} % on the other folds)"


@command(
    "experiment",
    "us8k experiment grid.toml features/ --out runs/grid",
    interrupted=GOES_ON,
)
@click.argument("grid", metavar="GRID.toml")
@click.argument("store")
@click.option("--out", required=True, metavar="DIR", help="Folder of the runs; the same one goes on where it was.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Splits fitted at a time (default: cores).")
@click.option("--allow-incomplete", is_flag=True, help="Train although clips still lack their results.")
def experiment(output: Output, *, grid: str, store: str, out: str, jobs: int | None, allow_incomplete: bool) -> int:
    """Run every combination in GRID.toml on STORE that has no run in DIR yet, and compare them.

    GRID.toml holds lists: models, features, seeds and protocols; and tables such as [parameters.svm].
    It may be killed, started again, and started twice: no run is made a second time.
    """
    from us8k_batch.cli.learning import TerminalLearning
    from us8k_batch.training.experiment import experiment as run

    done = run(grid, store, out, TerminalLearning(output), jobs=jobs, allow_incomplete=allow_incomplete)
    output.result("\n".join(done.lines()), done.to_dict())
    return done.exit_status
