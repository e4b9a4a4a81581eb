"""Sections of a store's page that show single clips: their files, one of each class, the tutorial's comparison."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from markupsafe import Markup

from us8k_batch.config import FeatureConfig
from us8k_batch.gallery.before_after import Comparison, Side
from us8k_batch.gallery.depth import bit_depth
from us8k_batch.gallery.gallery import EXCERPT_SECONDS, SILENT, Gallery, Portrait
from us8k_batch.pages.figure import figure, inline_svg, player
from us8k_batch.pages.shell import card, folded, grid, note
from us8k_batch.pages.tables import Number, bars, count, percent, table

SHOWN = 20
"""Clips that are named, beside the number of all."""


def formats(gallery: Gallery, clips: int) -> Iterator[Markup | str]:
    """Say what the files are: rates, channels, bit depths, codings."""
    yield f"Read from the headers of {_of(gallery.headers, clips)} in {gallery.dataset}."
    whole = max(1, gallery.headers)
    yield grid(
        bars(counts, caption=f"Clips per {kind}", name=kind, write=lambda n: f"{n:,.0f} ({percent(n / whole)})")
        for kind, counts in gallery.census.items()
    )


def portraits(gallery: Gallery, clips: pa.Table, config: FeatureConfig, classes: int) -> Iterator[Markup | str]:
    """Show a clip of each class."""
    yield (
        f"The waveform, the mel spectrogram and the MFCC as the store holds them, at {config.sample_rate:,} Hz, "
        "mono. The players have the same clip at 22,050 Hz, as MP3."
    )
    if len(gallery.portraits) < classes:
        yield note(f"{len(gallery.portraits)} of {classes:,} classes are shown.")
    yield grid(_portrait(i, label, one, clips) for i, (label, one) in enumerate(gallery.portraits.items()))


def _portrait(number: int, label: str, one: Portrait, clips: pa.Table) -> Markup:
    clip, seconds = clips["clip_id"][one.place].as_py(), clips["duration"][one.place].as_py()
    header = one.header
    channels = {1: "mono", 2: "stereo"}.get(header.channels, f"{header.channels} channels")
    about = (
        f"{clip}: {seconds:.2f} s, fold {clips['fold'][one.place].as_py()}; its file: {header.sample_rate:,} Hz, "
        f"{channels}, {bit_depth(header.subtype)} ({header.format}), peak {one.peak:.2f}"
    )
    words = f"Waveform, mel spectrogram and MFCC of a clip of class {label}"
    return card(
        label,
        figure(inline_svg(one.drawing, words, f"clip{number}"), about),
        player(one.sound.data, one.sound.mime, f"{label}: {clip}"),
    )


def comparison(one: Comparison, clips: pa.Table) -> Iterator[Markup | str]:
    """Show a clip as its file holds it beside what features are computed from."""
    clip, label = clips["clip_id"][one.place].as_py(), clips["label"][one.place].as_py()
    own, ours = one.own, one.ours
    yield (
        f"{clip} ({label}), as its file holds it, and as librosa.load gives it: resampled, scaled to [-1, 1], and "
        "the channels averaged."
    )
    yield table(
        ("", "the file's own", "as librosa.load gives it"),
        (
            ("sample rate", Number(f"{own.rate:,} Hz"), Number(f"{ours.rate:,} Hz")),
            ("smallest value", _value(own, own.low), _value(ours, ours.low)),
            ("largest value", _value(own, own.high), _value(ours, ours.high)),
            ("kind of values", Number(own.kind), Number(ours.kind)),
            ("channels", own.channels, ours.channels),
            ("values", count(own.values), count(ours.values)),
        ),
        caption="Before and after",
    )
    words = f"Waveforms of {clip}: its channels in the file's own range, and their mean in [-1, 1]"
    yield figure(
        inline_svg(one.drawing, words, "comparison"),
        "Orange: the file's own channels, in their own range. Blue: mono at 22,050 Hz, in [-1, 1].",
    )
    yield grid(
        [
            card("The file's own", player(own.sound.data, own.sound.mime, f"{clip}, as its file holds it")),
            card(
                "As librosa.load gives it",
                player(ours.sound.data, ours.sound.mime, f"{clip}, mono, 22,050 Hz"),
            ),
        ]
    )


def listening(gallery: Gallery, clips: pa.Table) -> Iterator[Markup | str]:
    """Say what listening found: silent and clipped clips, and those that could not be heard."""
    yield f"For the following, {_of(gallery.heard, len(clips))} were decoded, as many of each class as there are."
    yield table(
        ("what", "clips", "share of those heard"),
        (
            (f"silent: no sample above {SILENT:g} of full scale", *_share(len(gallery.silent), gallery.heard)),
            ("clipped: three samples in a row or more at full scale", *_share(len(gallery.clipped), gallery.heard)),
        ),
        caption="Found by listening",
    )
    peaks = [(place, Number(f"{peak:.2g}")) for place, peak in gallery.silent[:SHOWN]]
    shares = [(place, Number(f"{100 * share:.2g} %")) for place, share in gallery.clipped[:SHOWN]]
    for kind, total, found, head in (
        ("Silent clips", len(gallery.silent), peaks, "peak"),
        ("Clipped clips", len(gallery.clipped), shares, "samples at full scale"),
    ):
        if total:
            rows = ((*_named(clips, place), value) for place, value in found)
            yield _fold(kind, total, table(("clip", "class", "fold", head), rows, caption=kind))
    if gallery.unheard:
        yield note(f"{len(gallery.unheard):,} of the clips that were chosen could not be listened to.")
        lines = ((*_named(clips, place), why) for place, why in gallery.unheard[:SHOWN])
        kind = "Clips that could not be listened to"
        yield _fold(kind, len(gallery.unheard), table(("clip", "class", "fold", "why"), lines, caption=kind))


def map_note(gallery: Gallery | None, points: int, clips: int) -> str:
    """Say what the map shows, and which points have a sound."""
    shown = f"Each point is a clip ({_of(points, clips)}): what is close has similar pooled vectors. "
    if gallery is None:
        return shown + "The large points tell their name when they are chosen. With --dataset they can be heard too."
    return shown + (
        f"The {len(gallery.excerpts):,} large points can be heard: the loudest {EXCERPT_SECONDS:g} seconds of each, "
        "made small for this page."
    )


def _fold(kind: str, total: int, inside: Markup) -> Markup:
    more = f", the first {SHOWN}" if total > SHOWN else ""
    return folded(f"{kind} ({total:,}{more})", inside)


def _named(clips: pa.Table, place: int) -> tuple[str, str, int]:
    row = clips.select(["clip_id", "label", "fold"]).slice(place, 1).to_pylist()[0]
    return row["clip_id"], row["label"], row["fold"]


def _share(part: int, whole: int) -> tuple[int, Number]:
    return part, percent(part / whole if whole else None)


def _value(side: Side, value: float) -> Number:
    return Number(f"{value:,.0f}" if side.kind.startswith("int") else f"{value:.3f}")


def _of(part: int, whole: int) -> str:
    return f"all {whole:,} clips" if part == whole else f"{part:,} of {whole:,} clips"
