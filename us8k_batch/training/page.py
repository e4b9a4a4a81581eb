"""report.html of a run: one page that needs no network, made from what run.json and the figures say."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #e3e6ea}
td.n{text-align:right;font-variant-numeric:tabular-nums}.big{font-size:2rem}
.warning{background:#fff6dd;border-left:4px solid #d9a400;padding:.4rem .8rem;margin:.4rem 0}
figure{margin:0}figure svg{max-width:100%;height:auto}code{background:#f2f4f6;padding:0 .2rem}
"""


def write_page(file: Path, document: dict[str, Any], figures: Path) -> None:
    """Write the page.

    Parameters
    ----------
    file : Path
        Where to.
    document : dict
        What ``run.json`` will say, without the digests.
    figures : Path
        Folder with the run's SVG figures, which go into the page.
    """
    scores = document["scores"]
    features, protocol = document["features"]["name"], document["protocol"]
    parts = [
        f"<h1>{_text(document['model'])} on {_text(features)}, {_text(protocol)}</h1>",
        f'<p><span class="big">{_percent(scores["accuracy_mean"])}</span> {_spread(scores)}</p>',
        *(f'<p class="warning">{_text(warning)}</p>' for warning in document["warnings"]),
        *_article(document.get("article")),
        "<h2>Splits</h2>",
        _table(
            ("split", "clips", "accuracy"),
            ((name, scores["clips"][name], _percent(value)) for name, value in scores["folds"].items()),
        ),
        "<h2>Classes</h2>",
        _table(
            ("class", "clips", "precision", "recall", "F1"),
            (
                (name, one["clips"], _percent(one["precision"]), _percent(one["recall"]), _percent(one["f1"]))
                for name, one in scores["per_class"].items()
            ),
        ),
        "<h2>Figures</h2>",
        *(f"<figure>{_inline(svg)}</figure>" for svg in sorted(figures.glob("*.svg"))),
        "<h2>How</h2>",
        _table(("", ""), _how(document)),
    ]
    body = "\n".join(parts)
    title = _text(f"{document['model']}, {document['protocol']}")
    file.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{STYLE}</style>\n{body}\n</html>\n",
        encoding="utf-8",
    )


def _article(article: dict[str, Any] | None) -> list[str]:
    if article is None:
        return []
    shared = article["shared_clips"]
    leak = "unknown" if shared is None else f"{shared} of {article['test_clips']}"
    rows = (
        ("before training, test clips", _percent(article["pretraining_accuracy"])),
        ("training clips", _percent(article["train_accuracy"])),
        ("test clips of the random split", _percent(article["test_accuracy"])),
        ("of which share a recording with a training clip", leak),
        (f"honest ({article['honest_protocol'] or 'cannot be had'})", _percent(article["honest_accuracy"])),
    )
    return ["<h2>The tutorial's numbers, and the honest one</h2>", _table(("accuracy", ""), rows)]


def _how(document: dict[str, Any]) -> list[tuple[str, Any]]:
    store = document["store"]
    parameters = ", ".join(f"{name}={value}" for name, value in document["parameters"].items())
    return [
        ("store", store["url"]),
        ("snapshot", store["snapshot_id"]),
        ("clips", document["clips"]),
        ("parameters", parameters),
        ("statistics", ", ".join(document["features"]["statistics"])),
        ("seed", document["seed"]),
        ("made", document["created"]),
    ]


def _spread(scores: dict[str, Any]) -> str:
    if scores["accuracy_std"] is None:
        return f"of the test clips; macro-F1 {scores['macro_f1']:.3f}"
    low, high = scores["accuracy_interval"]
    return (
        f"± {100 * scores['accuracy_std']:.1f} over {len(scores['folds'])} splits, "
        f"95 % interval {100 * low:.1f} to {100 * high:.1f} %; macro-F1 {scores['macro_f1']:.3f}"
    )


def _inline(svg: Path) -> str:
    text = svg.read_text(encoding="utf-8")
    # An XML declaration and document type have no place inside a page, and ids must differ between figures.
    figure = text[text.index("<svg") :]
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{svg.stem}-", figure)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def row(values: Sequence[Any]) -> str:
        cells = (f'<td class="n">{v}</td>' if isinstance(v, int) else f"<td>{_text(v)}</td>" for v in values)
        return f"<tr>{''.join(cells)}</tr>"

    titles = "".join(f"<th>{_text(name)}</th>" for name in head)
    return f"<table><tr>{titles}</tr>\n{chr(10).join(row(values) for values in rows)}</table>"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _text(value: Any) -> str:
    return html.escape(str(value))
