"""One table of runs, best first, with published numbers beside them and marked as such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from us8k_batch.errors import RequestError
from us8k_batch.training.anchors import Anchor, Published, published_for
from us8k_batch.training.paired import corrected_interval, corrected_t_test, holm
from us8k_batch.training.rundir import DOCUMENT, Run, load_run
from us8k_batch.training.shape import refuse_other

NETWORKS = ("keras", "jax", "jaxlib")


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: a run, or a published number."""

    name: str
    """The run's folder, or the publication."""
    model: str
    features: str | None
    protocol: str
    """The protocol that the accuracy is of: never the article's, where an honest one could be had."""
    accuracy: float
    std: float | None
    interval: tuple[float, float] | None
    macro_f1: float | None
    p_value: float | None
    """Of the difference to the best run, adjusted for the number of runs; None if they cannot be paired."""
    published: bool
    """Whether it was measured by others, with other features."""
    note: str = ""
    folds: Mapping[str, float] = field(default_factory=dict)
    """Accuracy by split; empty for what was published."""
    behind: tuple[float, float, float] | None = None
    """Mean difference to the best run over the splits, negative where it is worse, and the ends of its 95 %
    interval, corrected for the overlap of training sets but not for the number of runs."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs and published numbers, best first."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    """What a reader has to know."""

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return {"rows": [asdict(line) for line in self.lines], "notes": list(self.notes)}


@dataclass(frozen=True, slots=True)
class _Score:
    """The score of a run that may be ranked."""

    run: Run
    protocol: str
    scores: dict[str, Any]
    note: str

    @property
    def partition(self) -> dict[str, Any]:
        partition: dict[str, Any] = self.run.document["splits"][self.protocol]
        return partition


def compare(paths: Sequence[str]) -> Comparison:
    """Compare runs.

    Parameters
    ----------
    paths : sequence of str
        Run directories, each once.

    Returns
    -------
    Comparison
        A run of the article's protocol stands at the honest score that it carries. Differences to the best
        run are tested where both were tested on the same splits (`corrected_t_test`).

    Raises
    ------
    RequestError
        If a path is no run, or none was given.
    DamageError
        If a run is not what was written.
    """
    if not paths:
        raise RequestError("no run was given; expected one run directory or more")
    scored = sorted((_ranked(load_run(path)) for path in paths), key=lambda s: -s.scores["accuracy_mean"])
    decided = _told_apart([one.run.document for one in scored])
    p_values = holm([_p_value(scored[0], one) for one in scored[1:]])
    lines = [
        replace(line, note="; ".join(text for text in (line.note, own) if text))
        for line, own in zip(
            (_line(one, scored[0], p) for one, p in zip(scored, [None, *p_values], strict=True)), decided, strict=True
        )
    ]
    notes = []
    if len({one.partition["digest"] for one in scored}) > 1:
        notes.append("not all runs were tested on the same clips: p is given only where they were")
    for dataset in _matching(scored):
        lines += [_anchor(dataset, anchor) for anchor in dataset.anchors]
        notes.append(f"published: other features, the predefined folds of all {dataset.clips} clips")
        if any(one.run.document["clips"] != dataset.clips for one in scored):
            notes.append(f"these runs are not of the {dataset.clips} clips of {dataset.name}")
    order = sorted(range(len(lines)), key=lambda i: -lines[i].accuracy)
    return Comparison(tuple(lines[i] for i in order), tuple(notes))


def _told_apart(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each run what it was decided by, as far as another one of its model, features and protocol differs."""
    every = [_decided(document) for document in documents]
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, document in enumerate(documents):
        what = (
            document["model"],
            document["features"]["name"],
            document["protocol"],
            str(bool(document.get("tuning"))),
        )
        alike.setdefault(what, []).append(place)
    told = [""] * len(documents)
    for places in alike.values():
        names = dict.fromkeys(name for place in places for name in every[place])
        differ = [name for name in names if len({every[place].get(name) for place in places}) > 1]
        for place in places:
            told[place] = ", ".join(f"{name} {every[place].get(name, 'none')}" for name in differ)
    return told


def _decided(document: Mapping[str, Any]) -> dict[str, str]:
    """Return by name what decides a run's numbers, besides model, features and protocol."""
    features = [one for one in document["store"]["versions"] if one]
    return {
        "seed": str(document["seed"]),
        **{name: str(value) for name, value in document["parameters"].items()},
        "publication": document["store"]["snapshot_id"][:12],
        "features by": " and ".join(", ".join(f"{k} {v}" for k, v in sorted(one.items())) for one in features),
        **{name: (document.get("versions") or {}).get(name, "none") for name in _deciding(document["model"])},
        "processor": (document.get("machine") or {}).get("processor", "unknown"),
    }


def _deciding(model: str) -> tuple[str, ...]:
    """Name the distributions that decide a model's numbers; of others, any version gives the same."""
    own = {"xgboost": ("xgboost",), "article-mlp": NETWORKS, "cnn": NETWORKS}
    return ("us8k-batch", "numpy", "scipy", *own.get(model, ("scikit-learn",)))


def table(comparison: Comparison) -> list[str]:
    """Return the table for a terminal, one line of text each."""
    head = ("", "model", "features", "protocol", "accuracy", "95 % interval", "macro-F1", "p", "")
    rows = [head, *(_cells(line) for line in comparison.lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *comparison.notes]


def _cells(line: Line) -> tuple[str, ...]:
    std = "" if line.std is None else f" ± {100 * line.std:.1f}"
    interval = "" if line.interval is None else "{:.1f} to {:.1f}".format(*(100 * end for end in line.interval))
    return (
        "published" if line.published else "run",
        line.model,
        line.features or "",
        line.protocol,
        f"{100 * line.accuracy:.1f}{std}",
        interval,
        "" if line.macro_f1 is None else f"{line.macro_f1:.3f}",
        _p(line.p_value),
        "; ".join(text for text in (line.name, line.note) if text),
    )


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _ranked(run: Run) -> _Score:
    document = run.document
    refuse_other(document, f"{run.path}/{DOCUMENT}")
    protocol, scores, note = document["protocol"], document["scores"], ""
    if protocol == "article":
        article = document["article"]
        note = f"the article's split says {100 * article['test_accuracy']:.1f} %"
        if article["honest_protocol"] is None:
            note += ", and no honest score could be had"
        else:
            protocol = article["honest_protocol"]
            scores = document["beside"][protocol]
    return _Score(run, protocol, scores, note)


def _p_value(best: _Score, other: _Score) -> float | None:
    paired = _paired(best, other)
    return None if paired is None else corrected_t_test(*paired)


def _behind(best: _Score, other: _Score) -> tuple[float, float, float] | None:
    paired = None if best is other else _paired(best, other)
    if paired is None:
        return None
    first, second, share = paired
    ends = corrected_interval(second, first, share)
    mean = sum(b - a for a, b in zip(first, second, strict=True)) / len(first)
    return None if ends is None else (mean, *ends)


def _paired(best: _Score, other: _Score) -> tuple[list[float], list[float], float] | None:
    """Return both accuracies by split, and how many clips were tested per clip learnt from; None for other splits."""
    partition = best.partition
    names = list(best.scores["folds"])
    if partition["digest"] != other.partition["digest"] or set(names) != set(other.scores["folds"]):
        return None
    share = sum(partition["test"][n] / max(1, partition["train"][n]) for n in names) / len(names)
    first, second = ([scores["folds"][n] for n in names] for scores in (best.scores, other.scores))
    return first, second, share


def _line(one: _Score, best: _Score, p_value: float | None) -> Line:
    document, scores = one.run.document, one.scores
    interval = scores["accuracy_interval"]
    return Line(
        name=str(one.run.path),
        model=document["model"],
        features=document["features"]["name"],
        protocol=one.protocol,
        accuracy=scores["accuracy_mean"],
        std=scores["accuracy_std"],
        interval=interval and (interval[0], interval[1]),
        macro_f1=scores["macro_f1"],
        p_value=p_value,
        published=False,
        note=one.note,
        folds=dict(scores["folds"]),
        behind=_behind(best, one),
    )


def _matching(scored: Sequence[_Score]) -> tuple[Published, ...]:
    """Return the public datasets that have the classes of all these runs."""
    classes = scored[0].run.document["classes"]
    return published_for(classes) if all(one.run.document["classes"] == classes for one in scored) else ()


def _anchor(dataset: Published, anchor: Anchor) -> Line:
    return Line(
        name=anchor.source,
        model=anchor.model,
        features=None,
        protocol=f"folds of {dataset.name}",
        accuracy=anchor.accuracy,
        std=None,
        interval=None,
        macro_f1=None,
        p_value=None,
        published=True,
    )
