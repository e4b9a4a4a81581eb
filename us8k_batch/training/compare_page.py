"""The page of several runs: which is best, by how much, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from us8k_batch.pages.charts import Interval, intervals
from us8k_batch.pages.figure import figure
from us8k_batch.pages.shell import Section, facts, notes, render_page
from us8k_batch.pages.tables import NOTHING, Number, matrix, percent, table
from us8k_batch.training.compare import Comparison, Line
from us8k_batch.training.page_scores import beside, in_order

MOST_DRAWN = 60
"""Runs in a chart."""
MOST_SPLITS = 40
"""Splits whose accuracies are shown one by one."""


def compare_page(comparison: Comparison) -> str:
    """Make the page.

    Parameters
    ----------
    comparison : Comparison
        Of one run or more.

    Returns
    -------
    str
        A whole HTML document that needs no network.
    """
    runs = [line for line in comparison.lines if not line.published]
    labels = {id(line): f"{number}. {_name(line)}" for number, line in enumerate(runs, 1)}
    sections = [
        Section("Ranking", tuple(_ranking(comparison, labels))),
        Section("Differences", tuple(_differences(runs, labels))),
        Section("Folds", tuple(_folds(runs, labels))),
    ]
    best = runs[0]
    lead: list[Markup | str] = [
        Markup('<p><span class="big">{}</span> the best of {} runs: {} on {}, {}</p>').format(
            _accuracy(best), len(runs), best.model, best.features, best.protocol
        ),
        facts(
            [
                ("runs", len(runs)),
                ("macro-F1 of the best", NOTHING if best.macro_f1 is None else f"{best.macro_f1:.3f}"),
            ]
        ),
        notes(comparison.notes),
    ]
    return render_page(f"{len(runs)} runs compared", sections, lead=lead)


def _ranking(comparison: Comparison, labels: Mapping[int, str]) -> Iterator[Markup | str]:
    drawn = []
    for line in comparison.lines[:MOST_DRAWN]:
        low, high = line.interval or (None, None)
        value = Interval(
            100 * line.accuracy, None if low is None else 100 * low, None if high is None else 100 * high
        )
        drawn.append((labels.get(id(line), f"{line.model} †"), value))
    first, last = comparison.lines[0], comparison.lines[-1]
    yield figure(
        intervals(
            beside(drawn),
            alternative=f"Accuracies from {percent(first.accuracy)} ({first.model}) down to {percent(last.accuracy)} "
            f"({last.model}).",
            x="accuracy, per cent",
            x_range=(0, 100),
        ),
        "Mean accuracy over the splits, with its 95 % interval, best first. † is published by others, with other "
        "features.",
    )
    yield table(
        ("run or publication", "model", "features", "protocol", "accuracy", "95 % interval", "macro-F1", "p", "note"),
        (
            (
                labels.get(id(line), f"published: {line.name}"), line.model, line.features or None, line.protocol,
                _accuracy(line), _ends(line.interval), line.macro_f1, _p(line.p_value), line.note or None,
            )
            for line in comparison.lines
        ),
        caption="Best first",
    )  # fmt: skip
    yield (
        "p: how likely a difference to the best run as large as this one is by chance, by a paired t-test over the "
        "splits, corrected for the overlap of what they learn from (Nadeau & Bengio 2003) and for the number of runs "
        "(Holm 1979). The best of many runs is lucky: its own number is a little too good."
    )
    yield table(("run", "folder"), ((labels[id(one)], one.name) for one in comparison.lines if id(one) in labels),
                caption="Where the runs are")  # fmt: skip


def _differences(runs: Sequence[Line], labels: Mapping[int, str]) -> Iterator[Markup | str]:
    paired = [(line, line.behind) for line in runs if line.behind is not None]
    if not paired:
        yield "No two of these runs were tested on the same splits, so no difference can be paired."
        return
    best = runs[0]
    yield figure(
        intervals(
            beside(
                (labels[id(line)], Interval(100 * mean, 100 * low, 100 * high))
                for line, (mean, low, high) in paired[:MOST_DRAWN]
            ),
            alternative=f"Differences to {_name(best)}, from {100 * paired[0][1][0]:.1f} to "
            f"{100 * paired[-1][1][0]:.1f} percentage points.",
            x="difference to the best run, percentage points",
            references={"no difference": 0.0},
        ),
        "Mean difference to the best run over the same splits, with its 95 % interval, corrected for the overlap of "
        "what the splits learn from. An interval that reaches 0 leaves open which is better.",
    )
    yield table(
        ("run", "difference", "95 % interval", "splits won", "lost", "even", "p"),
        (
            (
                labels[id(line)], Number(f"{100 * mean:+.1f}"), Number(f"{100 * low:+.1f} to {100 * high:+.1f}"),
                *_won(line, best), _p(line.p_value),
            )
            for line, (mean, low, high) in paired
        ),
        caption=f"Percentage points to {labels[id(best)]}",
    )  # fmt: skip


def _folds(runs: Sequence[Line], labels: Mapping[int, str]) -> Iterator[Markup | str]:
    together: dict[tuple[str, tuple[str, ...]], list[Line]] = {}
    for line in runs:
        together.setdefault((line.protocol, tuple(line.folds)), []).append(line)
    for number, ((protocol, splits), lines) in enumerate(together.items(), 1):
        shown = [name for name, _ in in_order(dict.fromkeys(splits))][:MOST_SPLITS]
        more = "" if len(shown) == len(splits) else f", the first {len(shown)} of {len(splits)} splits"
        which = f" ({number})" if len(together) > 1 else ""
        yield _accuracies(lines, shown, labels, f"Accuracy by split of {protocol}, per cent{which}{more}")
    yield "Framed is the best run of each split."


def _accuracies(lines: Sequence[Line], splits: Sequence[str], labels: Mapping[int, str], caption: str) -> Markup:
    """Put runs beside splits, whichever are more from top to bottom: a screen is longer than it is wide."""
    best = {split: max(line.folds[split] for line in lines) for split in splits}
    turned = len(splits) >= len(lines)

    def cell(i: int, j: int) -> tuple[Line, str]:
        return (lines[j], splits[i]) if turned else (lines[i], splits[j])

    def tip(i: int, j: int) -> str:
        line, split = cell(i, j)
        return f"{_name(line)}, split {split}: {percent(line.folds[split])}"

    def marked(i: int, j: int) -> bool:
        line, split = cell(i, j)
        return line.folds[split] == best[split]

    names = [labels[id(line)] for line in lines]
    rows, columns = (splits, names) if turned else (names, splits)
    places = ((cell(i, j) for j in range(len(columns))) for i in range(len(rows)))
    return matrix(
        rows,
        columns,
        [[line.folds[split] for line, split in row] for row in places],
        caption=caption,
        corner="split \\ run" if turned else "run \\ split",
        write=lambda value: f"{100 * value:.1f}",
        tip=tip,
        marked=marked,
    )


def _won(line: Line, best: Line) -> tuple[int, int, int]:
    signs = [(line.folds[name] > value) - (line.folds[name] < value) for name, value in best.folds.items()]
    return signs.count(1), signs.count(-1), signs.count(0)


def _name(line: Line) -> str:
    return line.name.rstrip("/").rpartition("/")[2]


def _accuracy(line: Line) -> Number:
    spread = "" if line.std is None else f" ± {100 * line.std:.1f}"
    return Number(f"{100 * line.accuracy:.1f}{spread} %")


def _ends(interval: tuple[float, float] | None) -> Number | None:
    return None if interval is None else Number(f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %")


def _p(value: float | None) -> Number | None:
    if value is None:
        return None
    return Number(f"{value:.3f}" if value >= 0.001 else "<0.001")
