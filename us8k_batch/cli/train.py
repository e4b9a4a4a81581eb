"""``us8k train``, ``compare`` and ``pool``: models on a store, runs side by side, other statistics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from us8k_batch.cli.base import Output, command


@command("train", "us8k train features/ --model svm --features salamon14 --out runs/svm")
@click.argument("store")
@click.option(
    "--model",
    default="xgboost",
    show_default=True,
    metavar="NAME",
    help="xgboost, svm, random-forest, knn, mlp, logistic or dummy; article-mlp or cnn (networks).",
)
@click.option(
    "--protocol",
    type=click.Choice(["folds", "grouped", "article"]),
    default="folds",
    show_default=True,
    help="Predefined folds; five parts by recording; or the tutorial's random split, with its leak.",
)
@click.option(
    "--features",
    metavar="SET",
    help="mean, mean+std, salamon14 or all (default: salamon14; mean+std for knn; mean for article-mlp and "
    "--protocol article). The cnn takes frames, and nothing else does.",
)
@click.option("--out", metavar="RUN", help="The run directory, a new one (default: the next free name in runs/).")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter of the model, such as max_depth=6; may be repeated.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="What all random numbers start from; the same seed, the same numbers.",
)
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Splits fitted at a time (default: cores).")
@click.option("--allow-incomplete", is_flag=True, help="Train although clips still lack their results.")
@click.option(
    "--track",
    "trackers",
    multiple=True,
    metavar="NAME",
    help="Also hand the run to mlflow, tensorboard or comet (offline); may be repeated.",
)
def train(output: Output, *, assignments: tuple[str, ...], trackers: tuple[str, ...], **given: Any) -> int:
    """Train and test a model on STORE, one fold after the other as test set, and write a run directory.

    Reads the store only: no audio, no cluster, no network.
    """
    from us8k_batch.cli.learning import TerminalLearning
    from us8k_batch.config import read_options
    from us8k_batch.training.tracking import refuse_unknown, track_run
    from us8k_batch.training.train import TrainOptions
    from us8k_batch.training.train import train as run

    refuse_unknown(trackers)
    trained = run(TrainOptions(parameters=read_options(None, assignments), **given), TerminalLearning(output))
    failed = track_run(trained.path, trackers)
    document, scores = trained.document, trained.scores
    lines = [f"{document['model']} on {document['features']['name']}, {document['protocol']}:"]
    if trained.article is not None:
        lines += trained.article.lines()
    else:
        low, high = scores.accuracy_interval or (0.0, 1.0)
        lines.append(
            f"  accuracy {100 * scores.accuracy_mean:.2f} % ± {100 * (scores.accuracy_std or 0.0):.2f} over "
            f"{len(scores.folds)} splits, 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        )
        lines.append(f"  macro-F1 {scores.macro_f1:.3f}, calibration error {scores.expected_calibration_error:.3f}")
    lines += [f"  note: {warning}" for warning in [*document["warnings"], *failed]]
    lines.append(f"all of it: {trained.path}/report.html")
    output.result("\n".join(lines), {**trained.to_dict(), "tracking": failed})
    return 0


@command("compare", "us8k compare runs/*")
@click.argument("runs", nargs=-1, required=True)
def compare(output: Output, *, runs: tuple[str, ...]) -> int:
    """Show RUNS in one table, best first, with published accuracies beside them.

    p says how likely a difference to the best run as large as this one is by chance: a paired t-test over the
    splits, corrected for their overlap, adjusted for the number of runs.
    """
    from us8k_batch.training.compare import compare as rank
    from us8k_batch.training.compare import table

    comparison = rank(runs)
    output.answer("\n".join(table(comparison)), comparison.to_dict())
    return 0


@command("pool", "us8k pool features/ salamon.parquet --statistics mean,std,skewness,d1_variance")
@click.argument("store")
@click.argument("out", metavar="OUT.parquet")
@click.option(
    "--statistics",
    default="mean,std",
    show_default=True,
    metavar="NAME,NAME,...",
    help="Statistics over the frames, such as min, max, median, variance, skewness, kurtosis, d1_mean; "
    "or a feature set, such as salamon14.",
)
@click.option("--force", is_flag=True, help="Replace OUT.parquet if it is there.")
def pool(output: Output, *, store: str, out: str, statistics: str, force: bool) -> int:
    """Pool the frames in STORE anew, one row per clip, into a Parquet file, without touching audio."""
    from us8k_batch.training.featuresets import parse_statistics
    from us8k_batch.training.pool import pool as run

    done = run(store, out, parse_statistics(statistics), force=force)
    text = f"{done.clips} clips with {done.columns} features each in {done.out}"
    output.result(text, asdict(done))
    return 0
