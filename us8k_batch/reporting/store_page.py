"""The page about a store: what it holds, what is odd about it, what it was made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import Markup

from us8k_batch.extras import need
from us8k_batch.gallery.gallery import Gallery, make_gallery
from us8k_batch.pages.heatmap import diverging
from us8k_batch.pages.shell import Section, facts, folded, grid, note, render_page
from us8k_batch.pages.tables import Number, bars, count, matrix, pairs, percent, table
from us8k_batch.reporting import clip_sections
from us8k_batch.reporting.clip_map import draw_map
from us8k_batch.reporting.projection import class_means, clip_map
from us8k_batch.reporting.store_facts import Found, StoreFacts, store_facts
from us8k_batch.store.reader import Store, open_store
from us8k_batch.store.status import status
from us8k_batch.store.timings import MEANWHILE, timings

MOST_CLASSES, MOST_FOLDS = 100, 40
"""Rows and columns of the table of clips; more are not shown, and it says so."""
MOST_NAMED = 8
"""Clips named in one cell."""


def store_page(path: str, dataset: str | None, say: Callable[[str], None]) -> str:
    """Make the page.

    Parameters
    ----------
    path : str
        Path or URL of the store.
    dataset : str or None
        The dataset that it was made from; without it nothing is said of audio.
    say : callable
        Told what is being done.

    Raises
    ------
    StoreError
        If there is no store, or nothing was published yet.
    RequestError
        If `dataset` is not what the store was made from.
    MissingExtraError
        If `dataset` is given and matplotlib is not installed.
    """
    if dataset is not None:
        need("report", "--dataset")
    say(f"counting the clips of {path}")
    store = open_store(path)
    found = store_facts(path, store)
    gallery = make_gallery(store, dataset, found.sha256, say) if dataset is not None and len(store) else None
    sections = [Section("Clips", tuple(_clips(found)))]
    if gallery is not None:
        sections.append(Section("Files", tuple(clip_sections.formats(gallery, len(store)))))
        shown = clip_sections.portraits(gallery, store.table, store.config, len(found.classes))
        sections.append(Section("See and hear", tuple(shown)))
        if gallery.comparison is not None:
            compared = clip_sections.comparison(gallery.comparison, store.table)
            sections.append(Section("Before and after", tuple(compared)))
    sections += [
        Section("Features", tuple(_features(store, found, gallery))),
        Section("Oddities", (*_oddities(found), *_listening(store, gallery))),
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


def _features(store: Store, found: StoreFacts, gallery: Gallery | None) -> Iterator[Markup | str]:
    means = class_means(store)
    if means is None:
        yield "The store holds no means over frames, so classes are not compared here."
    else:
        labels = means.labels[:MOST_CLASSES]
        yield (
            "The mean MFCC of each class, less the mean of all clips, in standard deviations over the clips: orange "
            "is more than usual, blue less. Coefficient 0 is loudness; low ones are the coarse shape of the spectrum."
        )
        yield diverging(
            labels,
            [str(i) for i in range(means.deviations.shape[1])],
            means.deviations[: len(labels)].tolist(),
            alternative="Mean MFCC per class, in standard deviations from the mean of all clips",
            x="MFCC",
            full=1.5,
            unit="standard deviations",
        )
        values = ([str(i), *row] for i, row in enumerate(means.means[: len(labels)].T.tolist()))
        yield folded("The means themselves", table(["MFCC", *labels], values, caption="Mean MFCC per class"))
    projected = clip_map(store)
    if projected is None:
        yield "There are too few clips for a map."
        return
    yield Markup("<h3>Map of clips</h3>")
    yield clip_sections.map_note(gallery, len(projected.places), len(store))
    yield draw_map(projected, store.table, found.labels, gallery.excerpts if gallery is not None else {})


def _listening(store: Store, gallery: Gallery | None) -> Iterator[Markup | str]:
    if gallery is None:
        yield "Clipped clips and those that are silent but for noise are found by listening, which takes --dataset."
        return
    yield from clip_sections.listening(gallery, store.table)


def _oddities(found: StoreFacts) -> Iterator[Markup | str]:
    yield table(
        ("what", "number"),
        (
            ("clips of digital silence", found.silent.total),
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
    yield from _examples(found.silent, ("clip", "class", "seconds"), "Clips of digital silence")
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
    yield MEANWHILE
    phases = ((phase, Number(f"{spent:,.1f}")) for phase, spent in measured["phases"].items())
    yield table(("phase", "seconds"), phases, caption="The run from start to end")
