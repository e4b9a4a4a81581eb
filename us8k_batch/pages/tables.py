"""Tables: values in columns, bars beside counts, and counts shaded by their size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

SHADES = 5
"""Steps of shading, the classes ``h1`` to ``h5``."""
NARROW = 43
"""Letters in a line that a telephone has room for; of wider tables, values stand below their row's name there."""
MANY = 8
"""Columns from which on a table is written smaller."""
WORD = 14
"""Letters that text may take in a column before it is broken between words."""
UPRIGHT = 48
"""Letters of all names of columns of a matrix beyond which they stand upright."""
NOTHING = "–"  # noqa: RUF001  # the dash that stands for no value


class Number(str):
    """Text of a number, which tables align at their right: what `percent` and `count` return."""

    __slots__ = ()


def count(value: float) -> Number:
    """Write a whole number with separators: ``8,732``."""
    return Number(f"{value:,.0f}")


def percent(share: float | None, digits: int = 1) -> Number:
    """Write a share of 1 in per cent; None is a dash."""
    return Number(NOTHING if share is None else f"{100 * share:.{digits}f} %")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str, empty: str = "none") -> Markup:
    """Make a table; the first column names the rows.

    Parameters
    ----------
    head : sequence of str
        Names of the columns; an empty one has no heading.
    rows : iterable of sequences
        Values: text, markup, whole numbers, other numbers (three digits), or None (a dash). Columns of nothing but
        numbers, `Number` and None are aligned at their right.
    caption : str
        Says what is in it; stands above it, and names the region that scrolls where it is too wide.
    empty : str
        What is said in place of a table without rows.
    """
    lines = [list(row) for row in rows]
    if not lines:
        return Markup("<p><b>{}:</b> {}</p>").format(caption, empty)
    right = [all(_is_number(value) for value in column) for column in zip(*lines, strict=True)]
    kinds = ["n" if one else "" for one in right]
    titles = _join(_title(name, _class(kind)) for name, kind in zip(head, kinds, strict=True))
    widths = [
        max(_width(name, False), *(_width(value, one) for value in column))
        for name, column, one in zip(head, zip(*lines, strict=True), right, strict=True)
    ]
    wide = sum(widths) + len(widths) > NARROW
    body = Markup("\n").join(_row(line, kinds, head if wide else ()) for line in lines)
    return _region(
        caption,
        Markup("<table{}><caption>{}</caption><thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table>").format(
            _class(*["stack"] * wide, *["many"] * (len(head) > MANY)), caption, titles, body
        ),
    )


def bars(
    values: Mapping[str, float],
    *,
    caption: str,
    name: str,
    unit: str = "clips",
    write: Callable[[float], str] = count,
    colours: Mapping[str, int] | None = None,
) -> Markup:
    """Make a table with a bar in each row, as long as its value is large.

    Parameters
    ----------
    values : mapping of str to float
        From top to bottom; none is negative.
    caption : str
        Says what is in it.
    name : str
        What the rows are, such as ``class``.
    unit : str
        What the values are.
    write : callable
        Writes a value.
    colours : mapping of str to int, optional
        Number of a row's colour; all are the first one otherwise.
    """
    most = max(values.values(), default=0) or 1
    rows = Markup("\n").join(
        Markup(
            '<tr><th scope="row">{}</th><td class="bar c{}"><svg aria-hidden="true" focusable="false">'
            '<rect width="{:.2f}%" height="100%" rx="2" fill="currentColor"></rect></svg></td>'
            '<td class="n">{}</td></tr>'
        ).format(key, (colours or {}).get(key, 0) % 8, 100 * value / most, write(value))
        for key, value in values.items()
    )
    if not rows:
        return Markup("<p><b>{}:</b> none</p>").format(caption)
    return _region(
        caption,
        Markup(
            '<table class="bars"><caption>{}</caption><thead><tr><th scope="col">{}</th><td></td>'
            '<th scope="col" class="n">{}</th></tr></thead>\n<tbody>{}</tbody></table>'
        ).format(caption, name, unit, rows),
    )


def matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    caption: str,
    corner: str,
    write: Callable[[float], str] = count,
    tip: Callable[[int, int], str] | None = None,
    of_row: bool = False,
    marked: Callable[[int, int], bool] = lambda row, column: False,  # noqa: ARG005  # the signature
) -> Markup:
    """Make a table of numbers shaded by their size, such as a confusion matrix.

    Parameters
    ----------
    rows, columns : sequence of str
        Their names.
    values : sequence of sequences of float
        By row, then column; none is negative; 0 is written small.
    caption, corner : str
        Says what is in it; what the names of rows and columns are.
    write : callable
        Writes a value.
    tip : callable, optional
        Words of one cell, by row and column, for who points at it.
    of_row : bool
        Shade by the share of the row's sum rather than of the largest value.
    marked : callable
        Whether a cell, by row and column, has a frame, such as those of the diagonal.
    """
    largest = max((value for line in values for value in line), default=0)
    kind = Markup(' class="up"') if sum(map(len, columns)) > UPRIGHT else ""
    head = _join(Markup('<th scope="col"{}>{}</th>').format(kind, name) for name in columns)
    lines = []
    for i, (name, line) in enumerate(zip(rows, values, strict=True)):
        whole = (sum(line) if of_row else largest) or 1
        cells = _join(
            Markup('<td class="h{}{}"{}>{}</td>').format(
                _shade(value / whole),
                " good" if marked(i, j) else "",
                Markup(' title="{}"').format(tip(i, j)) if tip else "",
                write(value),
            )
            for j, value in enumerate(line)
        )
        lines.append(Markup('<tr><th scope="row" title="{}">{}</th>{}</tr>').format(name, name, cells))
    return _region(
        caption,
        Markup(
            '<table class="heat"><caption>{}</caption><thead><tr><th scope="col">{}</th>{}</tr></thead>\n'
            "<tbody>{}</tbody></table>"
        ).format(caption, corner, head, Markup("\n").join(lines)),
    )


def pairs(values: Iterable[tuple[str, Any]]) -> Markup:
    """Make a list of names and what they are."""
    lines = _join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, _cell(value)) for name, value in values)
    return Markup("<dl>{}</dl>").format(lines)


def _title(name: str, kind: Markup) -> Markup:
    if not name:  # a heading without words would be read out as one
        return Markup("<td></td>")
    return Markup('<th scope="col"{}>{}</th>').format(kind, name)


def _row(line: Sequence[Any], kinds: Sequence[str], names: Sequence[str]) -> Markup:
    first = Markup('<th scope="row"{}>{}</th>').format(_class(kinds[0]), _cell(line[0]))
    named = [Markup(' data-name="{}"').format(name) for name in names[1:]] or [Markup("")] * (len(line) - 1)
    rest = _join(
        Markup("<td{}{}>{}</td>").format(_class(kind, "none" if value is None else ""), name, _cell(value))
        for value, kind, name in zip(line[1:], kinds[1:], named, strict=True)
    )
    return Markup("<tr>{}{}</tr>").format(first, rest)


def _class(*names: str) -> Markup:
    words = " ".join(name for name in names if name)
    return Markup(' class="{}"').format(words) if words else Markup("")


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, Markup) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _width(value: Any, number: bool) -> int:
    """Estimate the letters that a value needs in a line: a number is not broken, text between words."""
    text = _cell(value)
    return len(text) if number else max([min(len(text), WORD), *map(len, text.split())])


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | Number) and not isinstance(value, bool))


def _shade(share: float) -> int:
    return 0 if share <= 0 else min(SHADES, 1 + int(share * SHADES))


def _region(caption: str, inside: Markup) -> Markup:
    # What scrolls must be reachable by keyboard, and then needs a name.
    return Markup('<div class="wide" role="group" tabindex="0" aria-label="{}">{}</div>').format(caption, inside)


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
