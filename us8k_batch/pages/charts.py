"""Charts drawn as SVG: lines over an axis, and means with their intervals; each can be read as a table too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from us8k_batch.pages.shell import folded
from us8k_batch.pages.tables import table

TOP = 12
"""Pixels above what is drawn."""
DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 5", "4 4")
"""Lines differ by these too, not by colour alone."""
MARKS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-3.6,-3.6h7.2v7.2h-7.2z", "M0,-4.8L4.6,3.4H-4.6z",
    "M0,-5L5,0L0,5L-5,0z", "M0,4.8L4.6,-3.4H-4.6z", "M-1.5,-4.6h3v3.1h3.1v3h-3.1v3.1h-3v-3.1h-3.1v-3h3.1z",
)  # fmt: skip
"""Paths of markers, around 0; with eight colours, 24 pairs differ before one comes again."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is drawn on: each chart is drawn twice, and `page.css` shows one of them, by the width of the screen."""

    kind: str
    """Class of the drawing."""
    width: int
    """Pixels of the drawing; a text of 12 of them can be read."""
    left: int
    """Room for the values beside an upright axis."""
    names: int
    """Room for the names beside intervals; 0 writes each above its interval."""
    row: int
    """Height of one interval."""
    right: int = 14

    @property
    def end(self) -> int:
        """Where the axis across ends."""
        return self.width - self.right


BROAD = Canvas("broad", 720, 62, 190, 26)
SLIM = Canvas("slim", 360, 52, 0, 40)
"""For a telephone, so that nothing has to be scrolled sideways."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value, and how far it may be off."""

    value: float
    low: float | None = None
    """Lower end; None if there is no interval."""
    high: float | None = None


def mark(number: int) -> Markup:
    """Draw the marker of a series or class, to stand in a legend."""
    return Markup(
        '<svg class="c{}" viewBox="-8 -8 16 16" aria-hidden="true" focusable="false">'
        '<path d="{}" fill="currentColor"></path></svg>'
    ).format(number % 8, MARKS[number % len(MARKS)])


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    alternative: str,
    x: str,
    y: str,
    height: int = 300,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    markers: bool = False,
    diagonal: bool = False,
    write: Callable[[float], str] = lambda value: f"{value:.4g}",
) -> Markup:
    """Draw lines with a legend, and fold their values away in a table below.

    Parameters
    ----------
    series : mapping of str to sequence of (float, float)
        Points of each line, by its name; finite.
    alternative : str
        Words for who does not see it: what is to be seen, not only what it is of.
    x, y : str
        What the axes are, with units.
    height : int
        Pixels.
    x_range, y_range : (float, float), optional
        Ends of the axes; what the values need otherwise.
    markers : bool
        Mark the points.
    diagonal : bool
        Draw where both axes have the same value.
    write : callable
        Writes a value in the table.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        return Markup("<p>{}: nothing to draw</p>").format(alternative)
    across = _axis([point[0] for point in points] if x_range is None else list(x_range))
    up = _axis([point[1] for point in points] if y_range is None else list(y_range))
    bottom = height - 44

    def draw(canvas: Canvas) -> Markup:
        place_x = _scale(across, canvas.left, canvas.end)
        place_y = _scale(up, bottom, TOP)
        parts = [_grid(across, up, place_x, place_y, bottom), _names(canvas, canvas.left, x, y, height, bottom)]
        if diagonal:
            low, high = max(across[0], up[0]), min(across[-1], up[-1])
            path = f"M{place_x(low):.1f},{place_y(low):.1f}L{place_x(high):.1f},{place_y(high):.1f}"
            parts.append(Markup('<path d="{}" stroke="currentColor" opacity=".5" fill="none"/>').format(path))
        for number, (name, line) in enumerate(series.items()):
            parts.append(_line(number, name, [(place_x(a), place_y(b)) for a, b in line], markers))
        return svg(parts, canvas.kind, canvas.width, height, alternative)

    legend = Markup("").join(
        Markup("<li>{}{}</li>").format(_sample(number, markers), name) for number, name in enumerate(series)
    )
    return Markup('{}{}<ul class="legend">{}</ul>{}').format(
        draw(BROAD), draw(SLIM), legend, _values(series, x, alternative, write)
    )


def intervals(
    rows: Mapping[str, Interval],
    *,
    alternative: str,
    x: str,
    x_range: tuple[float, float] | None = None,
    references: Mapping[str, float] | None = None,
) -> Markup:
    """Draw values with their intervals, one above the other, and references as upright lines.

    Parameters
    ----------
    rows : mapping of str to Interval
        From top to bottom.
    alternative : str
        Words for who does not see it; give the values in a table as well.
    x : str
        What the axis is, with its unit.
    x_range : (float, float), optional
        Its ends; what the values need otherwise.
    references : mapping of str to float, optional
        Values to compare with, such as chance or what was published.
    """
    named = references or {}
    ends = [end for row in rows.values() for end in (row.value, row.low, row.high) if end is not None]
    across = _axis([*ends, *named.values()] if x_range is None else list(x_range))
    return Markup("").join(_intervals(canvas, rows, across, named, x, alternative) for canvas in (BROAD, SLIM))


def svg(parts: Iterable[Markup], kind: str, width: int, height: int, alternative: str) -> Markup:
    """Put parts together into a drawing; `kind` is the class that decides where it is shown."""
    return Markup('<svg class="plot {}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        kind, width, height, alternative, Markup("").join(parts)
    )


def _intervals(
    canvas: Canvas,
    rows: Mapping[str, Interval],
    across: Sequence[float],
    named: Mapping[str, float],
    x: str,
    alternative: str,
) -> Markup:
    left = canvas.names or canvas.right
    height = TOP + canvas.row * len(rows) + 22 * len(named) + 56
    bottom = height - 44
    place = _scale(across, left, canvas.end)
    parts = [_grid(across, (), place, lambda value: value, bottom), _names(canvas, left, x, "", height, bottom)]
    for i, (name, row) in enumerate(rows.items()):
        at = TOP + canvas.row * (i + 1) - 10
        words = (left - 10, at + 4, "end") if canvas.names else (left, at - 13, "start")
        parts.append(Markup('<text x="{}" y="{}" text-anchor="{}" font-size="13">{}</text>').format(*words, name))
        if row.low is not None and row.high is not None:
            parts.append(
                Markup('<path class="c0" d="M{:.1f},{}H{:.1f}" stroke="currentColor" stroke-width="3"/>').format(
                    place(row.low), at, place(row.high)
                )
            )
        parts.append(
            Markup(
                '<circle class="c0" cx="{:.1f}" cy="{}" r="5.5" fill="currentColor"><title>{}</title></circle>'
            ).format(place(row.value), at, f"{name}: {row.value:.4g}")
        )
    for i, (name, value) in enumerate(named.items()):
        at = TOP + canvas.row * len(rows) + 22 * i + 18
        right = place(value) > canvas.width * 0.6
        parts.append(
            Markup(
                '<g class="c1"><path d="M{0:.1f},{1}V{2}" stroke="currentColor" stroke-dasharray="4 3"/></g>'
                '<text x="{3:.1f}" y="{4}" font-size="12" text-anchor="{5}">{6}</text>'
            ).format(
                place(value), TOP, bottom, place(value) + (-5 if right else 5), at, "end" if right else "start",
                f"{name} {value:.4g}",
            )
        )  # fmt: skip
    return svg(parts, canvas.kind, canvas.width, height, alternative)


def _axis(values: Sequence[float]) -> tuple[float, ...]:
    """Choose ticks at round numbers that enclose the values."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(step * i for i in range(first, last + 1))


def _scale(axis: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, high = axis[0], axis[-1]
    return lambda value: start + (min(max(value, low), high) - low) / (high - low) * (end - start)


def _grid(
    across: Sequence[float],
    up: Sequence[float],
    place_x: Callable[[float], float],
    place_y: Callable[[float], float],
    bottom: float,
) -> Markup:
    left, right = place_x(across[0]), place_x(across[-1])
    upright = (
        Markup(
            '<path d="M{0:.1f},{1}V{2}" stroke="currentColor" opacity=".15"/>'
            '<text x="{0:.1f}" y="{3}" text-anchor="middle" font-size="12">{4}</text>'
        ).format(place_x(tick), TOP, bottom, bottom + 17, f"{tick:g}")
        for tick in (float(f"{one:.6g}") for one in across)
    )
    level = (
        Markup(
            '<path d="M{0:.1f},{2:.1f}H{1:.1f}" stroke="currentColor" opacity=".15"/>'
            '<text x="{3:.1f}" y="{4:.1f}" text-anchor="end" font-size="12">{5}</text>'
        ).format(left, right, place_y(tick), left - 7, place_y(tick) + 4, f"{tick:g}")
        for tick in (float(f"{one:.6g}") for one in up)
    )
    return Markup("").join([*upright, *level])


def _names(canvas: Canvas, left: float, x: str, y: str, height: int, bottom: float) -> Markup:
    return Markup(
        '<text x="{}" y="{}" text-anchor="middle" font-size="13">{}</text>'
        '<text transform="translate(12,{}) rotate(-90)" text-anchor="middle" font-size="13">{}</text>'
    ).format((left + canvas.end) / 2, height - 8, x, (TOP + bottom) / 2, y)


def _line(number: int, name: str, points: Iterable[tuple[float, float]], markers: bool) -> Markup:
    placed = list(points)
    path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    dots = Markup("").join(
        Markup('<path transform="translate({:.1f},{:.1f})" d="{}" fill="currentColor"/>').format(
            x, y, MARKS[number % len(MARKS)]
        )
        for x, y in placed
        if markers
    )
    return Markup(
        '<g class="c{}"><title>{}</title><path d="{}" fill="none" stroke="currentColor" stroke-width="2" '
        'stroke-dasharray="{}"/>{}</g>'
    ).format(number % 8, name, path, DASHES[number % len(DASHES)] or "none", dots)


def _sample(number: int, markers: bool) -> Markup:
    dot = Markup('<path transform="translate(13,8)" d="{}" fill="currentColor"/>').format(MARKS[number % len(MARKS)])
    return Markup(
        '<svg class="c{}" viewBox="0 0 26 16" aria-hidden="true" focusable="false"><path d="M0,8H26" '
        'stroke="currentColor" stroke-width="2" stroke-dasharray="{}"/>{}</svg>'
    ).format(number % 8, DASHES[number % len(DASHES)] or "none", dot if markers else "")


def _values(
    series: Mapping[str, Sequence[tuple[float, float]]], x: str, caption: str, write: Callable[[float], str]
) -> Markup:
    places = sorted({point[0] for line in series.values() for point in line})
    by_name = [dict(line) for line in series.values()]
    rows = ([f"{place:g}", *(_written(one.get(place), write) for one in by_name)] for place in places)
    return folded("The values as a table", table([x, *series], rows, caption=caption))


def _written(value: float | None, write: Callable[[float], str]) -> str | None:
    return None if value is None else write(value)
