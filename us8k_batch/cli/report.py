"""``us8k report``: one page to look at and listen to."""

from __future__ import annotations

import click

from us8k_batch.cli.base import Output, columns_option, command


@command("report", "us8k report features/ --dataset UrbanSound8K --out report.html")
@click.argument("targets", metavar="STORE|RUN...", nargs=-1, required=True)
@click.option(
    "--out", required=True, metavar="FILE.html", help="The page; a local file, which is replaced if it is there."
)
@click.option(
    "--dataset", metavar="DATASET", help="What the store was made from: then single clips can be seen and heard."
)
@columns_option
@click.option("--figures", metavar="FOLDER", help="Also draw the figures of one RUN there, as PNG and SVG files.")
def report(
    output: Output,
    *,
    targets: tuple[str, ...],
    out: str,
    dataset: str | None,
    columns: tuple[str, ...],
    figures: str | None,
) -> int:
    """Write one self-contained HTML page about STORE, about a RUN, or about several RUNs side by side.

    It needs no network and stays below 15 MB, whatever the size of the dataset.
    """
    from us8k_batch.catalog.columns import read_columns
    from us8k_batch.reporting.report import report as write

    done = write(targets, out, dataset=dataset, columns=read_columns(columns), figures=figures, say=output.say)
    output.result(f"{done.out}: {done.bytes / 1e6:.1f} MB, opens in any browser", done.to_dict())
    return 0
