"""A drawing of numbers around zero: blue below, orange above, the stronger the farther away."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from us8k_batch.pages.shell import folded
from us8k_batch.pages.tables import Number, table

LEFT, CELL, ROW = 150, 20, 24
"""Pixels: room for the rows' names, width and height of a cell."""


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
    width, bottom = LEFT + CELL * len(columns) + 10, ROW * len(rows) + 4
    parts = []
    for i, (name, line) in enumerate(zip(rows, values, strict=True)):
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end" font-size="13">{}</text>').format(
                LEFT - 8, ROW * i + 17, name if len(name) <= 20 else f"{name[:19]}…"
            )
        )
        parts.extend(
            Markup(
                '<rect class="c{}" x="{}" y="{}" width="{}" height="{}" fill="currentColor" fill-opacity="{:.2f}">'
                "<title>{}</title></rect>"
            ).format(
                1 if value > 0 else 0,
                LEFT + CELL * j,
                ROW * i + 2,
                CELL - 1,
                ROW - 2,
                min(1.0, abs(value) / full),
                f"{name}, {columns[j]}: {value:+.2f} {unit}".strip(),
            )
            for j, value in enumerate(line)
        )
    every = max(1, round(len(columns) / 10))
    parts.extend(
        Markup('<text x="{}" y="{}" text-anchor="middle" font-size="12">{}</text>').format(
            LEFT + CELL * (j + 0.5), bottom + 14, name
        )
        for j, name in enumerate(columns)
        if j % every == 0
    )
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="middle" font-size="13">{}</text>').format(
            (LEFT + width) / 2, bottom + 34, x
        )
    )
    # There are more columns than rows; the other way round, the table fits a page and a telephone.
    turned = zip(columns, zip(*values, strict=True), strict=True)
    written = ([name, *(Number(f"{value:+.2f}") for value in line)] for name, line in turned)
    return Markup(
        '<div class="wide" role="group" tabindex="0" aria-label="{0}">'
        '<svg class="plot heatmap" viewBox="0 0 {1} {2}" role="img" aria-label="{0}">{3}</svg></div>{4}'
    ).format(
        alternative,
        width,
        bottom + 42,
        Markup("").join(parts),
        folded("The values as a table", table([x, *rows], written, caption=alternative)),
    )
