"""What a notebook shows of one of our values: a few facts, and a table or two."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup


def notebook_card(title: str, facts: Iterable[tuple[str, object]], *more: Markup) -> str:
    """Return HTML for ``_repr_html_``; every text is escaped.

    Parameters
    ----------
    title : str
        What it is.
    facts : iterable of (str, object)
        Names and values.
    *more : Markup
        What follows, such as tables.
    """
    rows = Markup("").join(
        Markup("<tr><th style='text-align: left'>{}</th><td style='text-align: left'>{}</td></tr>").format(*fact)
        for fact in facts
    )
    return str(
        Markup("<div><b>{}</b><table><tbody>{}</tbody></table>{}</div>").format(title, rows, Markup("").join(more))
    )
