"""report.html of a run: one page that needs no network, made from what run.json and the figures say."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from us8k_batch.training.spaces import describe

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#e3e6ea;--soft:#f2f4f6;--note:#fff6dd;--edge:#d9a400}
@media(prefers-color-scheme:dark){
:root{--ink:#d9dee4;--paper:#14171b;--line:#31373e;--soft:#22272d;--note:#332b12;--edge:#b98e0d}
figure svg{filter:invert(.92) hue-rotate(180deg)}}
body{font:15px/1.45 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;
color:var(--ink);background:var(--paper)}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}.big{font-size:2rem}
.wide{overflow-x:auto}table{border-collapse:collapse}
td,th{padding:.2rem 1.2rem .2rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td{overflow-wrap:anywhere}td:first-child{white-space:nowrap}td:last-child:not(.n){min-width:14rem}
.warning{background:var(--note);border-left:4px solid var(--edge);padding:.4rem .8rem;margin:.4rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(28rem,100%),1fr));gap:1rem;align-items:start}
figure{margin:0}figure svg{width:100%;height:auto}
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
        f'<p><span class="big">{_percent(scores["accuracy_mean"])}</span> {_spread(document)}</p>',
        *(f'<p class="warning">{_text(warning)}</p>' for warning in document["warnings"]),
        *_article(document.get("article")),
        *_tuning(document.get("tuning"), scores),
        "<h2>Splits</h2>",
        _table(
            ("split", "clips", "accuracy"),
            ((name, scores["clips"][name], value) for name, value in scores["folds"].items()),
        ),
        "<h2>Classes</h2>",
        _table(
            ("class", "clips", "precision", "recall", "F1"),
            (
                (name, one["clips"], one["precision"], one["recall"], one["f1"])
                for name, one in scores["per_class"].items()
            ),
        ),
        "<h2>Figures</h2>",
        '<div class="figures">',
        *(f"<figure>{_inline(svg)}</figure>" for svg in sorted(figures.glob("*.svg"))),
        "</div>",
        "<h2>How</h2>",
        _table(("", ""), _how(document)),
    ]
    body = "\n".join(parts)
    title = _text(f"{document['model']}, {document['protocol']}")
    file.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<style>{STYLE}</style>\n{body}\n</html>\n",
        encoding="utf-8",
    )


def _article(article: dict[str, Any] | None) -> list[str]:
    if article is None:
        return []
    shared = article["shared_clips"]
    leak = "unknown" if shared is None else f"{shared} of {article['test_clips']}"
    rows = (
        ("before training, test clips", article["pretraining_accuracy"]),
        ("training clips", article["train_accuracy"]),
        ("test clips of the random split", article["test_accuracy"]),
        ("of which share a recording with a training clip", leak),
        (f"honest ({article['honest_protocol'] or 'cannot be had'})", article["honest_accuracy"]),
    )
    return ["<h2>The tutorial's numbers, and the honest one</h2>", _table(("", "accuracy"), rows)]


def _tuning(tuning: dict[str, Any] | None, scores: dict[str, Any]) -> list[str]:
    if tuning is None:
        return []
    rows = (
        (
            name,
            scores["folds"][name],
            one["accuracy"],
            one["default_accuracy"],
            one["trial"],
            one["finished"],
            one["pruned"],
            describe(tuning["space"], one["parameters"]),
        )
        for name, one in tuning["splits"].items()
    )
    head = ("fold", "tested", "searched", "defaults", "trial", "finished", "given up", "best parameters")
    return [
        "<h2>Tuning</h2>",
        "<p>The parameters of each fold were chosen on the other folds alone. <i>tested</i> is the accuracy on the "
        "fold itself. <i>searched</i> is the accuracy of the best trial on the folds that it was chosen on, so it is "
        "too good to be quoted; <i>defaults</i> is that of the default parameters there, which are trial 0.</p>",
        _table(head, rows),
    ]


def _how(document: dict[str, Any]) -> list[tuple[str, Any]]:
    store = document["store"]
    parameters = ", ".join(f"{name}={value}" for name, value in document["parameters"].items())
    tuned = " (where not tuned)" if document.get("tuning") else ""
    return [
        ("store", store["url"]),
        ("snapshot", store["snapshot_id"]),
        ("clips", str(document["clips"])),
        (f"parameters{tuned}", parameters),
        ("features", ", ".join(document["features"]["statistics"]) or document["features"]["name"]),
        ("seed", str(document["seed"])),
        ("made", document["created"]),
    ]


def _spread(document: dict[str, Any]) -> str:
    scores, article = document["scores"], document.get("article")
    if article is not None:
        honest, protocol = article["honest_accuracy"], article["honest_protocol"]
        beside = (
            f"honest: <b>{_percent(honest)}</b> ({_text(protocol)})" if protocol else "no honest score can be had"
        )
        return f"of the test clips of a random split; {beside}"
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
    """Make a table; a float, or None, is a share that is shown in per cent. Numbers are aligned at their right."""
    values = [list(row) for row in rows]
    numeric = [any(v is None or isinstance(v, int | float) for v in column) for column in zip(*values, strict=True)]
    kinds = [' class="n"' if one else "" for one in numeric or [False] * len(head)]
    titles = "".join(f"<th{kind}>{_text(name)}</th>" for name, kind in zip(head, kinds, strict=True))
    lines = ("".join(f"<td{kind}>{_cell(v)}</td>" for v, kind in zip(row, kinds, strict=True)) for row in values)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{titles}</tr>\n{body}</table></div>'


def _cell(value: Any) -> str:
    return _percent(value) if value is None or isinstance(value, float) else _text(value)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _text(value: Any) -> str:
    return html.escape(str(value))
