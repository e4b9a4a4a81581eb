"""The page about a store: what it holds, what is odd about it, what it was made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import Markup

from us8k_batch.pages.shell import Section, facts, folded, grid, note, render_page
from us8k_batch.pages.tables import Number, bars, count, matrix, pairs, percent, table
from us8k_batch.reporting.store_facts import Found, StoreFacts, store_facts
from us8k_batch.store.status import status
from us8k_batch.store.timings import timings

MOST_CLASSES, MOST_FOLDS = 100, 40
"""Rows and columns of the table of clips; more are not shown, and it says so."""
MOST_NAMED = 8
"""Clips named in one cell."""


def store_page(path: str, say: Callable[[str], None]) -> str:
    """Make the page.

    Parameters
    ----------
    path : str
        Path or URL of the store.
    say : callable
        Told what is being done.

    Raises
    ------
    StoreError
        If there is no store, or nothing was published yet.
    """
    say(f"counting the clips of {path}")
    found = store_facts(path)
    sections = [
        Section("Clips", tuple(_clips(found))),
        Section("Oddities", tuple(_oddities(found))),
        Section("Failures", tuple(_failures(found))),
        Section("Provenance", tuple(_provenance(path))),
        Section("Timings", tuple(_timings(path))),
    ]
    return render_page(f"Store {found.url}", sections, lead=_lead(found))


def _lead(found: StoreFacts) -> list[Markup]:
    tiles: list[tuple[str, str]] = [("live clips", count(len(found.clips))), ("classes", count(len(found.classes)))]
    tiles += [("folds", count(len(found.folds)))]
    if found.recordings is not None:
        tiles.append(("recordings", count(found.recordings)))
    tiles += [
        ("hours of audio", f"{found.seconds / 3600:,.2f}"),
        ("clips without a result", count(found.failed.total)),
    ]
    lead = [facts(tiles)]
    if not found.complete:
        lead.append(note("Not complete: clips of the dataset still lack their results. Run us8k extract again."))
    return lead


def _clips(found: StoreFacts) -> Iterator[Markup]:
    labels, folds = found.labels[:MOST_CLASSES], found.folds[:MOST_FOLDS]
    totals = {label: sum(found.classes[label].values()) for label in labels}
    parts = [bars(totals, caption="Clips per class", name="class")]
    by_fold = {str(fold): sum(counts.get(fold, 0) for counts in found.classes.values()) for fold in folds}
    parts.append(bars(by_fold, caption="Clips per fold", name="fold"))
    if found.saliences:
        parts.append(bars(found.saliences, caption="Clips per salience", name="salience"))
    parts.append(bars(found.durations, caption="Clips per duration", name="seconds"))
    yield grid(parts)
    if len(labels) < len(found.labels) or len(folds) < len(found.folds):
        yield note(
            f"Shown are the first {len(labels):,} of {len(found.labels):,} classes and the first {len(folds):,} of "
            f"{len(found.folds):,} folds."
        )
    yield matrix(
        labels,
        [str(fold) for fold in folds],
        [[found.classes[label].get(fold, 0) for fold in folds] for label in labels],
        caption="Clips per class and fold",
        corner="class \\ fold",
        tip=lambda i, j: f"{labels[i]}, fold {folds[j]}: {found.classes[labels[i]].get(folds[j], 0):,} clips",
    )


def _oddities(found: StoreFacts) -> Iterator[Markup | str]:
    yield table(
        ("what", "number"),
        (
            ("clips shorter than one analysis window", found.short.total),
            ("sets of clips made from the same bytes", found.duplicates.total),
            (
                "recordings in several folds",
                count(found.crossings.total) if found.recordings is not None else "unknown",
            ),
            ("clips of such recordings", found.crossing_clips if found.recordings is not None else None),
        ),
        caption="What a reader should know of these clips",
    )
    yield from _examples(found.short, ("clip", "class", "seconds"), "Very short clips")
    yield from _examples(found.duplicates, ("clips", "which", "folds", "classes"), "Clips of the same bytes")
    if found.recordings is None:
        yield "The dataset does not say which recording a clip was cut from, so whether folds share any is unknown."
    elif found.crossings.total:
        yield note(
            f"{found.crossings.total:,} recordings have clips in several folds, {found.crossing_clips:,} in all: a "
            "model that is tested on one fold has heard them in another. us8k train counts such clips and gives the "
            "score without them too, or refuses the split."
        )
    yield from _examples(found.crossings, ("recording", "clips", "folds", "classes"), "Recordings in several folds")


def _examples(found: Found, head: tuple[str, ...], caption: str) -> Iterator[Markup]:
    if not found.total:
        return
    shown = len(found.examples)
    more = "" if shown == found.total else f": the first {shown:,} of {found.total:,}"
    rows = ([_listed(value) for value in row] for row in found.examples)
    yield folded(f"{caption} ({found.total:,})", table(head, rows, caption=f"{caption}{more}"))


def _listed(value: object) -> object:
    if not isinstance(value, list):
        return value
    named = ", ".join(str(one) for one in sorted(value)[:MOST_NAMED])
    return named if len(value) <= MOST_NAMED else f"{named} and {len(value) - MOST_NAMED:,} more"


def _failures(found: StoreFacts) -> Iterator[Markup | str]:
    if not found.failed.total:
        yield "Every clip of the dataset has its result."
        return
    yield table(
        ("stage", "error", "clips"),
        ((stage, error, n) for (stage, error), n in found.failures.items()),
        caption="Clips without a result, by reason",
    )
    yield from _examples(found.failed, ("clip", "stage", "error", "detail"), "Which clips, and why")
    yield "All of them are in failures.parquet. After mending the cause: us8k extract DATASET STORE --retry-failed."


def _provenance(path: str) -> Iterator[Markup | str]:
    told = status(path)
    snapshot = told["snapshot"]
    yield pairs(
        [
            ("store", told["store"]),
            ("snapshot", f"{snapshot['id']}, number {snapshot['number']}" if snapshot else None),
            ("rows", ", ".join(f"{n:,} {state}" for state, n in told["states"].items())),
            ("frames", f"up to {told['frames']:,} a clip"),
            ("shards", f"{told['clips_per_shard']:,} clips each"),
        ]
    )
    settings = ((name, _setting(value)) for name, value in told["config"].items())
    yield table(("parameter", "value"), settings, caption="What was computed")
    for versions in told["versions"]:
        yield table(("part", "version"), versions.items(), caption="Engine and libraries that computed it")
    yield table(
        ("run", "outcome", "extracted", "failed", "workers", "seconds", "program", "Python", "processor"),
        (
            (
                run.get("run_id"), run.get("outcome"), run.get("extracted"), run.get("failed"), run.get("workers"),
                Number(f"{run.get('seconds', 0):,.1f}"), run.get("program"), run.get("python"), run.get("processor"),
            )
            for run in told["runs"]
        ),
        caption="Last runs",
    )  # fmt: skip


def _setting(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _timings(path: str) -> Iterator[Markup | str]:
    measured = timings(path)
    if measured is None:
        yield "No run record tells how long extraction took."
        return
    yield facts(
        [
            ("clips a second, while extracting", f"{measured['clips_per_second']:,.1f}"),
            ("clips", count(measured["clips"])),
            ("workers", count(measured["workers"])),
        ]
    )
    yield table(
        ("stage", "where", "ms a clip", "share of the workers' time"),
        ((one["stage"], one["where"], one["ms_per_clip"], percent(one["share"])) for one in measured["stages"]),
        caption=f"Where the time of run {measured['run_id']} went",
    )
    yield "Stages of the decoder child pass while the worker reads, hashes and waits."
    phases = ((phase, Number(f"{spent:,.1f}")) for phase, spent in measured["phases"].items())
    yield table(("phase", "seconds"), phases, caption="The run from start to end")
