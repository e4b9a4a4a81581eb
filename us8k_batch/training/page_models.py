"""Sections of a run's page about its models: how they learnt, by what, and where they were surely wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from us8k_batch.pages.charts import Interval, intervals, lines
from us8k_batch.pages.figure import figure
from us8k_batch.pages.shell import card, folded, grid
from us8k_batch.pages.tables import NOTHING, Number, percent, table
from us8k_batch.training.curves import Curves
from us8k_batch.training.mistakes import Mistake
from us8k_batch.training.page_scores import beside, in_order
from us8k_batch.training.spaces import describe

MOST_FEATURES = 20
"""Groups of features that are drawn, the most important ones."""
MOST_LINES = 12
"""Splits whose curves are drawn one by one."""
WHO = {"train": "clips learnt from", "validation": "clips held out to stop early", "test": "test clips"}


def learning(found: Mapping[str, Curves]) -> Iterator[Markup | str]:
    """Draw loss and accuracy by epoch, of one protocol after the other."""
    yield (
        "Means over the splits, epoch by epoch. While it learns, a network has parts left out and may be given "
        "mixtures, so clips learnt from can look worse than they are. Nothing was chosen by the test clips: the last "
        "epoch counts, or what the clips held out decide."
    )
    for protocol, curves in found.items():
        if len(found) > 1:
            yield Markup("<h3>{}</h3>").format(protocol)
        yield from _curves(curves)


def _curves(curves: Curves) -> Iterator[Markup | str]:
    for what, unit in (("accuracy", "per cent"), ("loss", "cross-entropy")):
        scale = 100 if what == "accuracy" else 1
        series = {}
        for who, name in WHO.items():
            told = curves.over_splits(f"{who}_{what}")
            if told:
                series[name] = [(epoch, scale * value) for epoch, value in told["mean"]]
            if who == "test" and len(curves.by_split.get(f"test_{what}", {})) > 1:
                for end in ("lowest", "highest"):
                    series[f"{name}, {end} split"] = [(epoch, scale * value) for epoch, value in told[end]]
        if not series:
            continue
        last = "; ".join(f"{name}: {line[-1][1]:.4g}" for name, line in series.items())
        chart = lines(
            series,
            alternative=f"{what.capitalize()} by epoch up to {curves.epochs}; at the end {last}.",
            x="epoch",
            y=f"{what}, {unit}",
            y_range=(0, 100) if what == "accuracy" else None,
        )
        yield figure(chart, f"{what.capitalize()} by epoch.")
    ends = {line[-1][0] for line in curves.by_split.get("train_loss", {}).values()}
    if len(ends) > 1:
        yield f"Splits stopped after {min(ends)} to {max(ends)} epochs; the means are of those that went on."
    splits = curves.by_split.get("test_accuracy", {})
    if 1 < len(splits) <= MOST_LINES:
        each = {f"split {name}": [(epoch, 100 * value) for epoch, value in line] for name, line in in_order(splits)}
        chart = lines(each, alternative="Accuracy on the test clips by epoch, one line for each split.", x="epoch",
                      y="accuracy, per cent", y_range=(0, 100))  # fmt: skip
        yield folded("Each split", figure(chart, "Accuracy on the test clips of each split."))


def network(layers: Sequence[Mapping[str, Any]]) -> Iterator[Markup | str]:
    """Show what a network consists of."""
    total = sum(one["parameters"] for one in layers)
    yield (
        f"{total:,} parameters in {len(layers)} layers, from input to output, of the first split's network. A dash "
        "in a shape stands for any number: of clips, or of frames."
    )
    yield table(
        ("layer", "kind", "shape", "parameters"),
        (
            (
                one["name"],
                one["kind"],
                " \N{MULTIPLICATION SIGN} ".join(NOTHING if size is None else str(size) for size in one["shape"]),
                one["parameters"],
            )
            for one in layers
        ),
        caption="Layers",
    )


def importance(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Markup | str]:
    """Draw what features are worth."""
    yield (
        "Asked of each fitted model about clips that it was tested on, after it was scored: how much accuracy goes "
        "when these features are exchanged between clips? Nothing was chosen by it. Features that tell the same can "
        "stand in for each other, so what is little here need not be useless; and who chooses features by this must "
        "test them on other clips."
    )
    for kind in sorted(found, reverse=True):
        worth = {name: _interval(list(splits.values())) for name, splits in found[kind].items() if splits}
        order = sorted(worth, key=lambda name: -worth[name].value)
        if not order:
            continue
        first = order[:MOST_FEATURES]
        chart = intervals(
            beside((f"{kind} {name}" if kind == "coefficient" else name, worth[name]) for name in first),
            alternative=f"Accuracy that is lost by {kind}: most with {first[0]}, {worth[first[0]].value:.1f} points.",
            x="accuracy lost, percentage points",
        )
        more = f", the first {len(first)} of {len(order)}" if len(order) > len(first) else ""
        name = "Whole statistics, over all coefficients" if kind == "statistic" else "Coefficients, in all statistics"
        rows = ((one, Number(f"{worth[one].value:.1f}"), _ends(worth[one])) for one in order)
        listed = table((kind, "points lost", "95 % interval"), rows, caption=f"Accuracy lost by {kind}")
        yield figure(chart, f"{name}{more}; means over the splits, with 95 % intervals.")
        yield folded("All values", listed)


def mistakes(worst: Sequence[Mistake], heard: Mapping[str, Markup]) -> Iterator[Markup | str]:
    """Show the surest mistakes, with players where there are any."""
    yield (
        "Clips that a model which had not learnt them was most sure about, and wrong. Some may be wrongly labelled, "
        "or hold two sounds: listen before you blame the model."
    )
    if not worst:
        yield "There is none."
        return
    if not heard:
        yield "To hear them: us8k report RUN --dataset DATASET --out FILE.html."
        rows = ((one.clip_id, one.label, one.predicted, percent(one.confidence), one.split) for one in worst)
        yield table(("clip", "right", "said", "how sure", "split"), rows, caption="The surest mistakes")
        return
    cards = (
        card(
            one.clip_id,
            Markup("<p>right: <b>{}</b><br>said: <b>{}</b>, {} sure (split {})</p>").format(
                one.label, one.predicted, percent(one.confidence), one.split
            ),
            heard.get(one.clip_id, "No sound: the dataset has no such clip, or it cannot be read."),
        )
        for one in worst
    )
    yield grid(cards)


def tuning(told: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[Markup | str]:
    """Show what a search chose, and how that did."""
    yield (
        f"The parameters of each fold were chosen out of {told['trials']:,} trials on the other folds alone. Tested "
        "is the accuracy on the fold itself. Searched is the accuracy of the best trial on the folds that it was "
        "chosen on, so it is too good to be quoted; defaults is that of the default parameters there, trial 0."
    )
    yield table(
        ("fold", "tested", "searched", "defaults", "trial", "finished", "given up", "best parameters"),
        (
            (
                name,
                percent(scores["folds"].get(name)),
                percent(one["accuracy"]),
                percent(one["default_accuracy"]),
                one["trial"],
                one["finished"],
                one["pruned"],
                describe((n for n in told["space"] if n in one["parameters"]), one["parameters"]),
            )
            for name, one in in_order(told["splits"])
        ),
        caption="What each fold's search chose",
    )


def _interval(losses: Sequence[float]) -> Interval:
    values = np.array(losses, dtype=np.float64)
    mean = 100 * float(values.mean())
    half = _half_width(values)
    return Interval(mean) if half is None else Interval(mean, mean - half, mean + half)


def _half_width(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    if len(values) < 2:
        return None
    from scipy.stats import t

    return float(100 * t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def _ends(one: Interval) -> Number | None:
    return None if one.low is None or one.high is None else Number(f"{one.low:.1f} to {one.high:.1f}")
