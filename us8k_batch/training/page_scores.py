"""Sections of a run's page about its scores: folds, what was published, confusion, classes, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from markupsafe import Markup

from us8k_batch.pages.charts import Interval, intervals, lines
from us8k_batch.pages.figure import figure
from us8k_batch.pages.shell import note
from us8k_batch.pages.tables import Number, bars, matrix, percent, table
from us8k_batch.training.anchors import published_for

T = TypeVar("T")
MOST_CLASSES = 100
"""Classes whose confusion is shown whole."""
MOST_DRAWN = 60
"""Rows of a chart."""
MOST_PAIRS = 12
"""Pairs of classes that are named as confused most often."""
LONGEST_NAME = 24
"""Characters that stand beside a chart."""


def folds(document: Mapping[str, Any], protocol: str, scores: Mapping[str, Any]) -> Iterator[Markup | str]:
    """Show the splits, their mean, and what was published."""
    splits, seconds = document["splits"][protocol], document["fit_seconds"].get(protocol, {})
    names = [name for name, _ in in_order(scores["folds"])]
    rows: list[tuple[Any, ...]] = [
        (
            name,
            splits["train"][name],
            splits["test"][name],
            percent(scores["folds"][name]),
            Number(f"{seconds[name]:,.1f}") if name in seconds else None,
        )
        for name in names
    ]
    if len(names) > 1:
        rows.append(("mean ± std", None, sum(splits["test"].values()), spread(scores), None))
        rows.append(("95 % interval of the mean", None, None, ends(scores), None))
    without = document.get("scores_without_crossing")
    if without and protocol == document["protocol"]:
        rows.append(("mean without crossing recordings", None, sum(without["clips"].values()), spread(without), None))
    yield table(
        ("split", "learnt from", "tested on", "accuracy", "seconds"),
        rows,
        caption="Each split: fitted on some clips, tested on others",
    )
    drawn = beside((f"split {name}", Interval(100 * scores["folds"][name])) for name in names[:MOST_DRAWN])
    if scores["accuracy_interval"]:
        low, high = scores["accuracy_interval"]
        drawn = {"mean, 95 % interval": Interval(100 * scores["accuracy_mean"], 100 * low, 100 * high), **drawn}
    guess = chance(scores)
    yield figure(
        intervals(
            drawn,
            alternative=f"Accuracy of each split, around a mean of {percent(scores['accuracy_mean'])}; always naming "
            f"the largest class gives {percent(guess)}.",
            x="accuracy, per cent",
            x_range=(0, 100),
            references={"largest class": round(100 * guess, 1)},
        ),
        "Accuracy by split. Splits share most of what they learn from, so the interval is, if anything, too narrow.",
    )


def published(document: Mapping[str, Any], protocol: str, scores: Mapping[str, Any]) -> Iterator[Markup | str]:
    """Show the run among published accuracies, if its classes are those of a public dataset; marked as such."""
    for dataset in published_for(document["classes"]):
        yield f"Others measured these on {dataset.name}'s predefined folds, with other features."
        if protocol != "folds" or document["clips"] != dataset.clips:
            yield note(
                f"This run is of {document['clips']:,} clips by {protocol}; the published numbers are of the "
                f"predefined folds of all {dataset.clips:,} clips, so they are not of the same thing."
            )
        low, high = scores["accuracy_interval"] or (None, None)
        rows = [(f"this run: {document['model']}", scores["accuracy_mean"], "here", low, high)]
        rows += [(one.model, one.accuracy, one.source, None, None) for one in dataset.anchors]
        rows.sort(key=lambda row: -row[1])
        yield figure(
            intervals(
                beside(
                    (name, Interval(100 * value, None if a is None else 100 * a, None if b is None else 100 * b))
                    for name, value, _, a, b in rows
                ),
                alternative=f"This run's {percent(scores['accuracy_mean'])} among published accuracies from "
                f"{percent(min(row[1] for row in rows))} to {percent(max(row[1] for row in rows))}.",
                x="accuracy, per cent",
                x_range=(0, 100),
            ),
            "This run, with its 95 % interval, and published accuracies.",
        )
        yield table(
            ("model", "accuracy", "source"),
            ((name, percent(value), source) for name, value, source, _, _ in rows),
            caption=f"Accuracies on {dataset.name}",
        )


def confusion(classes: Sequence[str], scores: Mapping[str, Any]) -> Iterator[Markup | str]:
    """Show what was taken for what."""
    counts = scores["confusion"]
    sums = [sum(row) or 1 for row in counts]
    if len(classes) > MOST_CLASSES:
        yield f"There are {len(classes):,} classes, too many to show each beside each."
    else:
        yield matrix(
            classes,
            classes,
            counts,
            caption="Clips by right class (rows) and by what the models said (columns)",
            corner="right \\ said",
            of_row=True,
            tip=lambda i, j: (
                f"{counts[i][j]:,} of {sums[i]:,} clips of {classes[i]} ({percent(counts[i][j] / sums[i])}) "
                f"were said to be {classes[j]}"
            ),
            marked=lambda i, j: i == j,
        )
        yield "Shaded by the share of the row; framed are the clips that were told right."
    wrong = sorted(
        ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    yield table(
        ("right", "said", "clips", "of the class"),
        ((classes[i], classes[j], n, percent(n / sums[i])) for n, i, j in wrong[:MOST_PAIRS]),
        caption="Confused most often",
        empty="every clip was told right",
    )


def by_class(classes: Sequence[str], scores: Mapping[str, Any]) -> Iterator[Markup | str]:
    """Show precision and recall of each class."""
    told = scores["per_class"]
    yield (
        "Recall is the share of a class's clips that were told right; precision is the share of those said to be of "
        f"a class that are. Macro-F1, the mean of the classes' F1, is {scores['macro_f1']:.3f}."
    )
    yield table(
        ("class", "clips", "precision", "recall", "F1"),
        (
            (
                name,
                told[name]["clips"],
                percent(told[name]["precision"]),
                percent(told[name]["recall"]),
                told[name]["f1"],
            )
            for name in classes
        ),
        caption="Scores by class",
    )
    for measure in ("recall", "precision"):
        known = [(name, told[name][measure]) for name in classes if told[name][measure] is not None]
        known.sort(key=lambda one: -one[1])
        if known:
            (best, high), (worst, low) = known[0], known[-1]
            chart = intervals(
                beside((name, Interval(100 * value)) for name, value in known[:MOST_DRAWN]),
                alternative=f"{measure.capitalize()} by class, from {best} at {percent(high)} down to {worst} at "
                f"{percent(low)}.",
                x=f"{measure}, per cent",
                x_range=(0, 100),
            )
            yield figure(chart, f"{measure.capitalize()} by class, highest first.")


def calibration(scores: Mapping[str, Any]) -> Iterator[Markup | str]:
    """Show how far probabilities can be believed."""
    bins = [one for one in scores["reliability"] if one["clips"]]
    error = scores["expected_calibration_error"]
    said = sum(one["clips"] * (one["confidence"] or 0) for one in bins) / max(1, sum(one["clips"] for one in bins))
    right = sum(one["clips"] * (one["accuracy"] or 0) for one in bins) / max(1, sum(one["clips"] for one in bins))
    tendency = "surer than it is right" if said > right else "less sure than it is right"
    yield (
        f"On average the models gave their answer a probability of {percent(said)} and were right in "
        f"{percent(right)}: all in all {tendency}. The expected calibration error is {error:.3f}, the log loss "
        f"{scores['log_loss']:.3f}."
    )
    points = [(one["confidence"] or 0.0, one["accuracy"] or 0.0) for one in bins]
    names = [f"{one['low']:.1f} to {one['high']:.1f}" for one in bins]
    reliability = figure(
        lines(
            {"this run": points},
            alternative=f"Accuracy against confidence; the mean distance from the diagonal is {error:.3f}.",
            x="confidence: probability of the answer",
            y="share that was right",
            height=420,
            x_range=(0, 1),
            y_range=(0, 1),
            markers=True,
            diagonal=True,
            write=lambda value: f"{value:.3f}",
        ),
        "Reliability: above the line the models are better than they say, below it worse.",
    )
    counted = bars(
        {name: one["clips"] for name, one in zip(names, bins, strict=True)},
        caption="Clips by confidence",
        name="confidence",
    )
    yield reliability
    yield counted


def spread(scores: Mapping[str, Any]) -> Number:
    """Write mean ± standard deviation in per cent."""
    std = scores["accuracy_std"]
    return Number(
        percent(scores["accuracy_mean"])
        if std is None
        else f"{100 * scores['accuracy_mean']:.1f} ± {100 * std:.1f} %"
    )


def ends(scores: Mapping[str, Any]) -> Number | None:
    """Write the interval of the mean in per cent."""
    if scores["accuracy_interval"] is None:
        return None
    low, high = scores["accuracy_interval"]
    return Number(f"{100 * low:.1f} to {100 * high:.1f} %")


def chance(scores: Mapping[str, Any]) -> float:
    """Return the accuracy of always naming the class with the most clips."""
    sizes = [one["clips"] for one in scores["per_class"].values()]
    share: float = max(sizes) / max(1, sum(sizes))
    return share


def beside(rows: Iterable[tuple[str, Interval]]) -> dict[str, Interval]:
    """Name the rows of a chart by what has room beside it; a table has the names whole."""
    found: dict[str, Interval] = {}
    for name, value in rows:
        label = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 6]}…{name[-5:]}"
        found[label if label not in found else f"{label[: LONGEST_NAME - 6]}… {len(found)}"] = value
    return found


def in_order(splits: Mapping[str, T]) -> list[tuple[str, T]]:
    """Sort splits by name, those that are numbers by number: a document sorts 10 before 2."""

    def rank(one: tuple[str, T]) -> tuple[bool, int, str]:
        name = one[0]
        number = name.isdecimal() and len(name) < LONGEST_NAME
        return not number, int(name) if number else 0, name

    return sorted(splits.items(), key=rank)


def joined(values: Iterable[object]) -> str:
    """Write values in a line."""
    return ", ".join(str(value) for value in values)
