"""``us8k status``, ``verify`` and ``compact``: look at a store, prove it, rewrite it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from us8k_batch.cli.base import Output, columns_option, command
from us8k_batch.cli.lean import forgo_pandas
from us8k_batch.store.finding import named

if TYPE_CHECKING:
    from us8k_batch.repair.repair import Repaired


UNPROVED = "the store is not proved; a repair that was begun is finished by the next one"
HALF = "the new store is not whole: remove it"


@command("status", "us8k status features/")
@click.argument("store")
@click.option("--timings", is_flag=True, help="Also say where the time of the last extraction went.")
def status(output: Output, *, store: str, timings: bool) -> int:
    """Say what is in STORE: clips, folds, classes, failures, parameters, versions, last runs."""
    forgo_pandas()
    from us8k_batch.store.status import status as describe
    from us8k_batch.store.timings import timings as measured

    found = describe(store)
    text = _status_text(found)
    if timings:
        found["timings"] = measured(store)
        text += "\n" + _timings_text(found["timings"])
    output.answer(text, found)
    return 0


@command("verify", "us8k verify features/ --against UrbanSound8K --sample 50", interrupted=UNPROVED)
@click.argument("store")
@click.option("--against", metavar="DATASET", help="Also compute a sample again with librosa itself.")
@click.option(
    "--sample", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Clips to compute again."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which clips are drawn.")
@click.option(
    "--repair",
    "dataset",
    metavar="DATASET",
    help="Mend what is damaged: as it was, from DATASET if need be, or by giving its clips new rows.",
)
@click.option(
    "--allow-removal", is_flag=True, help="Repair although more than a tenth of the live clips are not in DATASET."
)
@click.option("--force", is_flag=True, help="Repair although a run is working on STORE.")
@columns_option
def verify(
    output: Output,
    *,
    store: str,
    against: str | None,
    sample: int,
    seed: int,
    dataset: str | None,
    allow_removal: bool,
    force: bool,
    columns: tuple[str, ...],
) -> int:
    """Prove STORE: every digest, Zarr against the commits and the tables, orphans.

    With --repair, a damaged object is moved to STORE/damaged/ and made again only if it comes out as it was
    recorded; otherwise its clips leave the tables, and us8k extract computes them again. Exit status: 0 all is as
    it was committed, 1 something is not, or clips are to be computed again.
    """
    from us8k_batch.catalog.columns import read_columns

    waiting, theirs = 0, read_columns(columns)
    if dataset is None:
        from us8k_batch.store.verify import verify as prove

        done = prove(store, output.say)
        values: dict[str, Any] = done.to_dict()
        lines = []
    else:
        from us8k_batch.repair.repair import repair
        from us8k_batch.settings import load_settings

        mended = repair(
            store,
            dataset,
            load_settings(),
            allow_removal=allow_removal,
            force=force,
            columns=theirs,
            tell=output.say,
        )
        done, waiting = mended.proof, len(mended.clips)
        values = {**done.to_dict(), "repair": mended.to_dict()}
        lines = _repair_lines(mended)
    lines.append(f"{done.store}: {done.rows} rows in {done.shards} shards compared with their digests")
    lines.extend(f"  {finding}" for finding in done.findings)
    lines.extend(f"  orphan, harmless: {key}" for key in done.orphans[:10])
    if len(done.orphans) > 10:
        lines.append(f"  and {len(done.orphans) - 10} more orphans")
    bad = len(done.findings)
    if against is not None and not bad:
        from us8k_batch.recheck import recheck

        compared = recheck(store, against, sample, seed, theirs)
        values["against"] = compared.to_dict()
        lines.append(
            f"{compared.compared} clips computed again with librosa: largest difference "
            f"{compared.largest_difference:.2g} ({compared.worst_clip or 'none'}); {compared.changed} changed since"
        )
        lines.extend(f"  {problem}" for problem in compared.problems)
        bad += len(compared.problems)
    lines.append("all is as it was committed" if not bad else f"{bad} problem{'s' if bad > 1 else ''} found")
    if waiting:
        lines.append(f"{waiting} clips have to be computed again: us8k extract {dataset} {store}")
    output.result("\n".join(lines), values)
    return 1 if bad or waiting else 0


@command("compact", "us8k compact features/ features-compact/", interrupted=HALF)
@click.argument("store")
@click.argument("new_store")
def compact(output: Output, *, store: str, new_store: str) -> int:
    """Rewrite STORE into NEW_STORE without superseded and removed rows."""
    from dataclasses import asdict

    from us8k_batch.store.compact import compact as rewrite

    done = rewrite(store, new_store, output.say)
    text = f"{done.store}: {done.rows} rows kept of {done.rows_before}, snapshot {done.snapshot_id[:12]}"
    output.result(text, asdict(done))
    return 0


def _repair_lines(mended: Repaired) -> list[str]:
    lines = [f"mended, as it was recorded: {key}" for key in mended.mended]
    lines.extend(f"moved to damaged/: {line}" for line in mended.given_up)
    if mended.clips:
        lines.append("clips that get new rows: " + ", ".join(named(mended.clips)))
    return lines


def _status_text(found: dict[str, Any]) -> str:
    config = found["config"]
    complete = "complete" if found["complete"] else f"not complete, {found['pending']} clips pending"
    lines = [
        f"{found['store']}: {found['live']} live clips, {complete}",
        f"features: {config['n_mfcc']} MFCC x up to {found['frames']} frames at {config['sample_rate']} Hz, "
        f"{config['res_type']}, hop {config['hop_length']}, window {config['n_fft']}",
        "rows: " + (", ".join(f"{n} {state}" for state, n in found["states"].items()) or "none"),
    ]
    if found["uncommitted"]:
        lines.append(f"{found['uncommitted']} rows were handed out and not committed: run us8k extract to go on")
    if found["folds"]:
        lines.append("folds: " + ", ".join(f"{fold}: {n}" for fold, n in _numerically(found["folds"])))
        lines.append("classes: " + ", ".join(f"{label} {n}" for label, n in found["labels"].items()))
    if found["failures"]:
        lines.append("failures: " + ", ".join(f"{n} {error}" for error, n in found["failures"].items()))
        lines.extend(
            f"  {clip['clip_id']}: {clip['stage']}/{clip['error']}: {clip['detail']}"
            for clip in found["failed_clips"]
        )
        lines.append(f"  all of them: {found['store']}/failures.parquet")
    for versions in found["versions"]:
        lines.append("computed with " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    for run in found["runs"]:
        lines.append(
            f"run {run['run_id']}: {run['outcome']}, {run['extracted']} extracted, {run['failed']} failed, "
            f"{run['seconds']:.1f} s with {run['workers']} workers"
        )
    return "\n".join(lines)


def _timings_text(found: dict[str, Any] | None) -> str:
    from us8k_batch.store.timings import MEANWHILE

    if found is None:
        return "timings: no run has extracted anything yet"
    lines = [
        f"run {found['run_id']}: {found['clips']} clips, {found['workers']} workers, "
        f"{found['clips_per_second']:.1f} clips/s while extracting",
        f"{'stage':<10}{'where':<8}{'ms/clip':>9}{'share':>8}",
    ]
    lines.extend(
        f"{row['stage']:<10}{row['where']:<8}{row['ms_per_clip']:>9.3f}{row['share']:>8.1%}"
        for row in found["stages"]
    )
    lines.append(MEANWHILE)
    lines.append("phases: " + ", ".join(f"{phase} {spent:.1f} s" for phase, spent in found["phases"].items()))
    if found["warm_up"]:
        lines.append(_warm_up_text(found["warm_up"]))
    return "\n".join(lines)


def _warm_up_text(found: dict[str, Any]) -> str:
    if not found["children"]:
        return "warm-up: 0 decoder children started, all were there"
    return (
        f"warm-up: {found['children']} decoder children started, ready after {found['median_seconds']:.2f} s "
        f"(median) to {found['most_seconds']:.2f} s (most), {found['compiled']} of them after compiling the kernels"
    )


def _numerically(folds: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(folds.items(), key=lambda item: int(item[0]))
