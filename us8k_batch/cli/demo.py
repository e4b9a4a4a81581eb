"""``us8k demo``: the whole job on this machine, on a synthetic dataset."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from us8k_batch.cli.base import RESUMES, Output, command
from us8k_batch.extras import EXTRAS, install, is_here


@command("demo", "us8k demo /tmp/demo", interrupted=RESUMES)
@click.argument("folder", default="demo")
@click.option(
    "--clips", type=click.IntRange(20), default=500, show_default=True, metavar="N", help="Number of clips."
)
@click.option("--workers", type=int, metavar="N", help="Workers of the local cluster (default: cores).")
def demo(output: Output, *, folder: str, clips: int, workers: int | None) -> int:
    """Make a synthetic dataset in FOLDER, extract it on this machine, train, and write a page to see and hear it."""
    from us8k_batch.catalog.synth import synthesise
    from us8k_batch.cli.progress import TerminalProgress
    from us8k_batch.run.extract import extract
    from us8k_batch.run.options import Options
    from us8k_batch.settings import load_settings
    from us8k_batch.store.reader import open_store

    dataset, path = Path(folder) / "dataset", Path(folder) / "features"
    output.say(f"making {clips} synthetic clips in UrbanSound8K's layout in {dataset}")
    synthesise(str(dataset), clips=clips)
    options = Options(dataset=str(dataset), store=str(path), settings=load_settings({"workers": workers}))
    summary = extract(options, TerminalProgress(output))
    store = open_store(str(path))
    trained = _train(output, path, Path(folder) / "runs")
    page = _report(output, path, dataset, Path(folder) / "report.html")
    us8k, python = _program("us8k"), _program("python")
    here, there = shlex.quote(str(path)), shlex.quote(str(dataset))
    text = f"""
{len(store)} clips extracted into {path}: MFCC {store.mfcc.shape}, pooled vectors of {len(store.pooled_names)} numbers
look:    {us8k} status {here}
prove:   {us8k} verify {here} --against {there}
again:   {us8k} extract {there} {here}     (nothing to do, and it says so at once)
open:    {python} -c 'import pandas; print(pandas.read_parquet("{path}/pooled.parquet"))'
         {python} -c 'import zarr; print(zarr.open("{path}/mfcc.zarr", mode="r")["mfcc"])'
         {python} -c 'import us8k_batch; print(us8k_batch.open_store("{path}").mfcc[0])'
{trained}
page:    {page}     (open it in any browser)"""
    output.result(text, {"dataset": str(dataset), "report": page, **summary.to_dict()})
    return summary.exit_status


def _train(output: Output, store: Path, runs: Path) -> str:
    """Train as the tutorial does, with the honest number beside it, if the trainer is installed."""
    if not all(map(is_here, EXTRAS["train"])):
        return f"train:   not installed here: {install('train')}"
    from us8k_batch.cli.learning import TerminalLearning
    from us8k_batch.training.rundir import free_path
    from us8k_batch.training.train import TrainOptions, train

    output.say("training XGBoost on the random split of the tutorial, and fold by fold")
    out = free_path(runs, "article")
    done = train(TrainOptions(store=str(store), protocol="article", out=str(out)), TerminalLearning(output))
    table = done.article.lines() if done.article else []
    return "\n".join([f"train:   {_program('us8k')} train {shlex.quote(str(store))} --protocol article", *table])


def _report(output: Output, store: Path, dataset: Path, page: Path) -> str:
    """Write the page about the store, with pictures and sounds if what draws them is installed; return its path."""
    from us8k_batch.reporting.report import report

    drawn = is_here("matplotlib")
    return report([str(store)], str(page), dataset=str(dataset) if drawn else None, say=output.say).out


def _program(name: str) -> str:
    """Return what to type for a program of this environment: its name if that finds it, else its path."""
    ours = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found).absolute() == ours:
        return name
    return shlex.quote(str(ours.relative_to(Path.cwd())) if ours.is_relative_to(Path.cwd()) else str(ours))
