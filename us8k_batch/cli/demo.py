"""``us8k demo``: the whole job on this machine, on a synthetic dataset."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from us8k_batch.cli.base import Output, command


@command("demo", "us8k demo /tmp/demo")
@click.argument("folder", default="demo")
@click.option(
    "--clips", type=click.IntRange(20), default=500, show_default=True, metavar="N", help="Number of clips."
)
@click.option("--workers", type=int, metavar="N", help="Workers of the local cluster (default: cores).")
def demo(output: Output, *, folder: str, clips: int, workers: int | None) -> int:
    """Make a synthetic dataset in FOLDER, extract it on this machine, and say how to open the results."""
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
    us8k, python = _program("us8k"), _program("python")
    here, there = shlex.quote(str(path)), shlex.quote(str(dataset))
    text = f"""
{len(store)} clips extracted into {path}: MFCC {store.mfcc.shape}, pooled vectors of {len(store.pooled_names)} numbers
look:    {us8k} status {here}
prove:   {us8k} verify {here} --against {there}
again:   {us8k} extract {there} {here}     (nothing to do, and it says so at once)
open:    {python} -c 'import pandas; print(pandas.read_parquet("{path}/pooled.parquet"))'
         {python} -c 'import zarr; print(zarr.open("{path}/mfcc.zarr", mode="r")["mfcc"])'
         {python} -c 'import us8k_batch; print(us8k_batch.open_store("{path}").mfcc[0])'"""
    output.result(text, {"dataset": str(dataset), **summary.to_dict()})
    return summary.exit_status


def _program(name: str) -> str:
    """Return what to type for a program of this environment: its name if that finds it, else its path."""
    ours = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found).absolute() == ours:
        return name
    return shlex.quote(str(ours.relative_to(Path.cwd())) if ours.is_relative_to(Path.cwd()) else str(ours))
