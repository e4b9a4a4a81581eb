"""``us8k extract`` and ``us8k plan``: bring a store up to date, or say what that would take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from us8k_batch.cli.base import RESUMES, Output, columns_option, command
from us8k_batch.cli.lean import forgo_pandas

if TYPE_CHECKING:
    from us8k_batch.run.options import Options

_COMMON = (
    click.argument("dataset"),
    click.argument("store"),
    columns_option,
    click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
                 help="Feature parameter of a new store, such as res_type=kaiser_fast; may be repeated."),
    click.option("--config", "config_file", metavar="FILE.toml", help="Feature parameters of a new store."),
    click.option("--clips-per-shard", type=int, metavar="N", help="Shard size of a new store (default 128)."),
    click.option("--engine", type=click.Choice(["auto", "librosa"]), default="auto", show_default=True,
                 help="What computes the numbers; librosa itself is slow, and the reference."),
    click.option("--retry-failed", is_flag=True, help="Try every failed clip again."),
    click.option("--refresh", type=click.Choice(["versions"]),
                 help="Compute again what was computed with other library versions."),
)  # fmt: skip
_RUNNING = (
    click.option("--allow-removal", is_flag=True,
                 help="Go on although more than a tenth of the live clips would be unpublished."),
    click.option("--max-failures", metavar="N|P%", help="Stop early after so many failed clips."),
    click.option("--force", is_flag=True, help="Take the store over from another run."),
    click.option("--scheduler", metavar="ADDRESS", help="Use a running Dask scheduler."),
    click.option("--scheduler-file", metavar="FILE", help="Use the scheduler that wrote this file."),
    click.option("--cluster", "spec", metavar="FILE.yaml", help="Start the cluster described there."),
    click.option("--workers", type=int, metavar="N", help="Workers of a local cluster (default: cores)."),
    click.option("--performance-report", metavar="FILE.html", help="Write Dask's performance report."),
)  # fmt: skip


def _with(options: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@command("extract", "us8k extract UrbanSound8K features/ --workers 2", interrupted=RESUMES)
@_with((*_COMMON, *_RUNNING))
@click.option("--dry-run", is_flag=True, help="Only say what would be done: us8k plan.")
def extract(output: Output, *, dry_run: bool, **given: Any) -> int:
    """Bring STORE up to date with DATASET.

    DATASET is a folder in UrbanSound8K's layout, or a manifest: CSV or Parquet with the columns
    path,label,fold[,group][,clip_id], or others (--columns). Both it and STORE are local paths or
    s3:// or gs:// URLs.
    Only what is new or changed is computed.
    """
    forgo_pandas()
    if dry_run:
        return _plan(output, _options(given), None)
    from us8k_batch.cli.progress import TerminalProgress
    from us8k_batch.run.extract import extract as run

    summary = run(_options(given), TerminalProgress(output))
    failed = f", {summary.failed} failed," if summary.failed else ""
    text = (
        f"{summary.live} clips are live in {summary.store}, {summary.failures} failed or are missing; "
        f"{summary.extracted} extracted{failed} in {summary.seconds:.1f} s"
    )
    if summary.interrupted:
        text += "\ninterrupted: run the same command again to go on"
    elif summary.run_id is None:
        text += " (nothing to do)"
    if summary.failures:
        text += f"\nwhy: us8k status {summary.store}"
    output.result(text, summary.to_dict())
    return summary.exit_status


@command("plan", "us8k plan UrbanSound8K features/ --explain 100032-3-0-0.wav")
@_with(_COMMON)
@click.option("--explain", metavar="CLIP", help="Say what would happen to one clip, and why.")
def plan(output: Output, *, explain: str | None, **given: Any) -> int:
    """Say what us8k extract would do, and why; nothing is written."""
    forgo_pandas()
    return _plan(output, _options(given), explain)


def _plan(output: Output, options: Options, clip_id: str | None) -> int:
    from us8k_batch.run.describe import describe

    described = describe(options, clip_id)
    output.answer(described.text, described.values)
    return 0


def _options(given: dict[str, Any]) -> Options:
    from us8k_batch.catalog.columns import read_columns
    from us8k_batch.cluster.where import Where
    from us8k_batch.config import FeatureConfig, read_options
    from us8k_batch.run.options import Options
    from us8k_batch.settings import load_settings

    wanted = read_options(given.pop("config_file"), given.pop("assignments"))
    where = {name: given.pop(name, None) for name in ("scheduler", "scheduler_file", "spec")}
    settings = load_settings({"workers": given.pop("workers", None)})
    refresh = given.pop("refresh")
    return Options(
        config=FeatureConfig.from_dict(wanted),
        given=frozenset(wanted),
        columns=read_columns(given.pop("columns")),
        where=Where(**where),
        settings=settings,
        refresh_versions=refresh == "versions",
        **given,
    )
