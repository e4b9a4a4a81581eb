"""A drawing of numbers around zero: blue below, orange above, the stronger the farther away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from us8k_batch.pages.charts import SLIM, svg
from us8k_batch.pages.shell import folded
from us8k_batch.pages.tables import Number, table

LEFT, CELL, ROW = 150, 20, 24
"""Pixels: room for the rows' names, width and height of a cell."""
SLIM_LEFT, SLIM_TOP, SLIM_ROW = 40, 128, 11
"""The same on a telephone, where rows and columns change places."""
LONGEST = 20
"""Letters of a name that have room."""


def diverging(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    alternative: str,
    x: str,
    full: float,
    unit: str = "",
) -> Markup:
    """Draw numbers around zero, and fold them away in a table below.

    Parameters
    ----------
    rows, columns : sequence of str
        Their names.
    values : sequence of sequences of float
        By row, then column; finite.
    alternative : str
        Words for who does not see it.
    x : str
        What the columns are.
    full : float
        Distance from zero that has the full colour; what is farther away has it too.
    unit : str
        What the values are, after each in its tip.
    """
    # There are more columns than rows; the other way round, the table fits a page and a telephone.
    turned = zip(columns, zip(*values, strict=True), strict=True)
    written = ([name, *(Number(f"{value:+.2f}") for value in line)] for name, line in turned)
    numbers = _Numbers(rows, columns, values, alternative, x, full, unit)
    return Markup("{}{}{}").format(
        _broad(numbers),
        _slim(numbers),
        folded("The values as a table", table([x, *rows], written, caption=alternative)),
    )


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What `diverging` was asked to draw, twice."""

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    alternative: str
    x: str
    full: float
    unit: str

    def cells(self, row: int) -> Iterator[tuple[int, float, str]]:
        """Give the column of each cell of a row, how strong its colour is, and the words of its tip."""
        for j, value in enumerate(self.values[row]):
            yield j, value / self.full, f"{self.rows[row]}, {self.columns[j]}: {value:+.2f} {self.unit}"

    def named_columns(self) -> Iterator[tuple[int, str]]:
        """Give the columns whose names have room, and these."""
        for j in range(0, len(self.columns), _every(len(self.columns))):
            yield j, self.columns[j]


def _broad(numbers: _Numbers) -> Markup:
    width, bottom = LEFT + CELL * len(numbers.columns) + 10, ROW * len(numbers.rows) + 4
    parts = []
    for i, name in enumerate(numbers.rows):
        parts.append(_text(LEFT - 8, ROW * i + 17, "end", _short(name)))
        parts.extend(
            _cell((LEFT + CELL * j, ROW * i + 2, CELL - 1, ROW - 2), strength, words)
            for j, strength, words in numbers.cells(i)
        )
    parts.extend(_text(LEFT + CELL * (j + 0.5), bottom + 14, "middle", name) for j, name in numbers.named_columns())
    parts.append(_text((LEFT + width) / 2, bottom + 34, "middle", numbers.x))
    return svg(parts, "broad full", width, bottom + 42, numbers.alternative)


def _slim(numbers: _Numbers) -> Markup:
    """Draw it turned: what is a row stands upright, its name too."""
    cell = (SLIM.width - SLIM_LEFT) / len(numbers.rows)
    parts = [_text(SLIM_LEFT - 6, SLIM_TOP - 6, "end", numbers.x)]
    for i, name in enumerate(numbers.rows):
        at = SLIM_LEFT + cell * i
        parts.append(
            Markup('<text transform="translate({:.1f},{}) rotate(-90)" font-size="12">{}</text>').format(
                at + cell / 2 + 4, SLIM_TOP - 6, _short(name)
            )
        )
        parts.extend(
            _cell((at, SLIM_TOP + SLIM_ROW * j, cell - 1, SLIM_ROW - 1), strength, words)
            for j, strength, words in numbers.cells(i)
        )
    parts.extend(
        _text(SLIM_LEFT - 6, SLIM_TOP + SLIM_ROW * (j + 0.5) + 4, "end", name) for j, name in numbers.named_columns()
    )
    return svg(parts, "slim", SLIM.width, SLIM_TOP + SLIM_ROW * len(numbers.columns) + 6, numbers.alternative)


def _cell(box: tuple[float, float, float, float], strength: float, words: str) -> Markup:
    x, y, width, height = box
    return Markup(
        '<rect class="c{}" x="{:.5g}" y="{:.5g}" width="{:.4g}" height="{:.4g}" fill="currentColor" '
        'fill-opacity="{:.2f}"><title>{}</title></rect>'
    ).format(1 if strength > 0 else 0, x, y, width, height, min(1.0, abs(strength)), words.strip())


def _text(x: float, y: float, anchor: str, words: str) -> Markup:
    return Markup('<text x="{:.5g}" y="{:.5g}" text-anchor="{}" font-size="12">{}</text>').format(x, y, anchor, words)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _every(names: int) -> int:
    """Choose how many names are skipped, so that some ten are left."""
    return max(1, round(names / 10))
