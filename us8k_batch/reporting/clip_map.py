"""The map of a store's clips: points in the colour and shape of their class, to be listened to."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from us8k_batch.gallery.sound import Sound
from us8k_batch.pages.charts import MARKS, mark
from us8k_batch.reporting.projection import ClipMap

SIZE = (960, 620)
"""Pixels."""
MARGIN = 26
CHOSEN = 300
"""Clips that can be chosen when none has a sound."""


def draw_map(found: ClipMap, clips: pa.Table, labels: Sequence[str], sounds: Mapping[int, Sound]) -> Markup:
    """Draw the map with its legend and player.

    Parameters
    ----------
    found : ClipMap
        Where the points are.
    clips : pa.Table
        The store's table.
    labels : sequence of str
        All classes, in order; a class's place decides on its colour and shape.
    sounds : mapping of int to Sound
        Sounds by place in the table.
    """
    part = clips.select(["clip_id", "label", "fold"]).take(pa.array(found.places))
    numbers = {label: i for i, label in enumerate(labels)}
    codes = np.array([numbers[label] for label in part["label"].to_pylist()])
    x, y = _scaled(found.at[:, 0], MARGIN, SIZE[0] - MARGIN), _scaled(-found.at[:, 1], MARGIN, SIZE[1] - MARGIN)
    if sounds:
        chosen = np.isin(found.places, np.fromiter(sounds, np.int64, len(sounds)))
    else:
        chosen = np.zeros(len(x), dtype=np.bool_)
        chosen[np.linspace(0, len(x) - 1, min(CHOSEN, len(x))).round().astype(int)] = True
    groups = Markup("").join(
        _class(number, label, x, y, np.flatnonzero(codes == number), chosen, part, found, sounds)
        for number, label in enumerate(labels)
    )
    buttons = Markup("").join(
        Markup('<li><button type="button" aria-pressed="false" data-class="{}">{}{}</button></li>').format(
            number, mark(number), label
        )
        for number, label in enumerate(labels)
    )
    hear = "and heard " if sounds else ""
    return Markup(
        '<div class="map" data-map>'
        '<ul class="legend screen" aria-label="Classes: press one to see it alone">{buttons}</ul>'
        '<ul class="legend paper">{legend}</ul>'
        '<div class="now screen"><p aria-live="polite" data-now>Choose a large point: click near it, or use Tab '
        "and the arrow keys.</p>{player}</div>"
        '<svg class="clips" viewBox="0 0 {width} {height}" role="group" aria-label="Map of clips. The large points '
        'can be chosen {hear}with the arrow keys.">{groups}</svg>'
        '<p class="soft axes">across: first principal component, {first:.0f} % of the variance; up: second, '
        "{second:.0f} %</p></div>"
    ).format(
        buttons=buttons,
        legend=Markup("").join(
            Markup("<li>{}{}</li>").format(mark(number), label) for number, label in enumerate(labels)
        ),
        width=SIZE[0],
        height=SIZE[1],
        hear=hear,
        groups=groups,
        first=100 * found.shares[0],
        second=100 * found.shares[1],
        player=Markup('<audio controls aria-label="The chosen clip" data-sound-of-map></audio>') if sounds else "",
    )


def _class(
    number: int,
    label: str,
    x: np.ndarray,
    y: np.ndarray,
    members: np.ndarray,
    chosen: np.ndarray,
    part: pa.Table,
    found: ClipMap,
    sounds: Mapping[int, Sound],
) -> Markup:
    """Draw a class: its small points as one path, which costs little, the large ones as elements of their own."""
    small = members[~chosen[members]]
    dots = "".join(f"M{x[i]:.0f},{y[i]:.0f}h0" for i in small)
    points = Markup("").join(
        _point(number, f"{label}, {part['clip_id'][i].as_py()}, fold {part['fold'][i].as_py()}", x[i], y[i],
               sounds.get(int(found.places[i])))
        for i in members[chosen[members]].tolist()
    )  # fmt: skip
    return Markup('<g class="c{}" data-class="{}"><path class="dots" d="{}"/>{}</g>').format(
        number % 8, number, dots, points
    )


def _point(number: int, name: str, x: float, y: float, sound: Sound | None) -> Markup:
    data = Markup("")
    if sound is not None:
        # Base64 has no character that HTML gives a meaning.
        data = Markup(' data-mime="{}" data-sound="{}"').format(
            sound.mime, base64.b64encode(sound.data).decode("ascii")
        )
    return Markup(
        '<path role="button" tabindex="-1" aria-label="{}" transform="translate({:.0f},{:.0f}) scale(1.15)" '
        'd="{}"{}/>'
    ).format(name, x, y, MARKS[number % len(MARKS)], data)


def _scaled(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """Put the inner 99 % of values between start and end, and what lies outside on the border."""
    low, high = np.quantile(values, [0.005, 0.995])
    if high <= low:
        return np.full(len(values), (start + end) / 2)
    placed: np.ndarray = np.clip(start + (values - low) / (high - low) * (end - start), start - 16, end + 16)
    return placed
