"""What ``run.json`` must look like before anything is made of it: a run directory may come from a stranger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from us8k_batch.errors import DamageError

LONGEST_TEXT = 10_000
"""Characters of a name, a path or a warning."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of things of one kind, no longer than `most`."""

    of: Any
    most: int = 10_000


@dataclass(frozen=True, slots=True)
class Named:
    """Things of one kind by name, no more than `most`."""

    of: Any
    most: int = 10_000


@dataclass(frozen=True, slots=True)
class Perhaps:
    """Something, or None, or not there at all."""

    of: Any


NUMBER, WHOLE, SHARE, TEXT, VALUE = "a finite number", "a whole number", "a share of 1", "text", "a value"
"""Kinds of what holds nothing else; a value is a number, text, true or false, nothing, or a short list of such."""

SCORES: dict[str, Any] = {
    "folds": Named(SHARE),
    "clips": Named(WHOLE),
    "accuracy_mean": SHARE,
    "accuracy_std": Perhaps(NUMBER),
    "accuracy_interval": Perhaps(Listed(SHARE, 2)),
    "macro_f1": SHARE,
    "log_loss": NUMBER,
    "expected_calibration_error": SHARE,
    "per_class": Named({"clips": WHOLE, "precision": Perhaps(SHARE), "recall": Perhaps(SHARE), "f1": SHARE}),
    "confusion": Listed(Listed(WHOLE)),
    "reliability": Listed(
        {"low": SHARE, "high": SHARE, "clips": WHOLE, "confidence": Perhaps(SHARE), "accuracy": Perhaps(SHARE)}, 100
    ),
}
ARTICLE: dict[str, Any] = {
    "pretraining_accuracy": SHARE,
    "train_accuracy": SHARE,
    "test_accuracy": SHARE,
    "test_clips": WHOLE,
    "shared_clips": Perhaps(WHOLE),
    "honest_protocol": Perhaps(TEXT),
    "honest_accuracy": Perhaps(SHARE),
    "honest_std": Perhaps(NUMBER),
}
TUNED: dict[str, Any] = {
    "parameters": Named(VALUE),
    "accuracy": SHARE,
    "default_accuracy": Perhaps(SHARE),
    "trial": WHOLE,
    "finished": WHOLE,
    "pruned": WHOLE,
}
RUN: dict[str, Any] = {
    "model": TEXT,
    "parameters": Named(VALUE),
    "protocol": TEXT,
    "features": {"name": TEXT, "statistics": Listed(TEXT)},
    "seed": WHOLE,
    "classes": Listed(TEXT),
    "clips": WHOLE,
    "store": {"url": TEXT, "snapshot_id": TEXT, "config": Named(VALUE), "versions": Listed(Named(TEXT))},
    "splits": Named({"digest": TEXT, "train": Named(WHOLE), "test": Named(WHOLE)}),
    "scores": SCORES,
    "scores_without_crossing": Perhaps(SCORES),
    "beside": Named(SCORES),
    "importance": Perhaps(Named(Named(Named(Named(NUMBER))))),
    "article": Perhaps(ARTICLE),
    "tuning": Perhaps({"trials": WHOLE, "space": Named(Named(VALUE)), "splits": Named(TUNED)}),
    "fit_seconds": Named(Named(NUMBER)),
    "seconds": Named(NUMBER),
    "warnings": Listed(TEXT),
    "created": TEXT,
    "layers": Perhaps(Listed({"name": TEXT, "kind": TEXT, "shape": Listed(VALUE), "parameters": WHOLE})),
    "jobs": WHOLE,
    "allow_incomplete": Perhaps(VALUE),
    "machine": Perhaps(Named(TEXT)),
    "versions": Perhaps(Named(TEXT)),
    "files": Perhaps(Named(TEXT)),
    "digest": Perhaps(TEXT),
}
"""What a page reads of a run; what else stands in the file is not looked at."""


def refuse_other(document: Mapping[str, Any], source: str) -> None:
    """Refuse a document of another shape, or one that contradicts itself.

    Raises
    ------
    DamageError
        Naming the field, what is there, and what was expected.
    """
    _check(document, RUN, "", source)
    classes = len(document["classes"])
    protocol, article = document["protocol"], document.get("article")
    honest = article and article["honest_protocol"]
    parts = {**document["beside"], protocol: document["scores"]}
    if (protocol == "article") != (article is not None) or (honest and honest not in document["beside"]):
        raise DamageError(f"{source}: the article's scores and its protocol do not belong together; train again")
    for protocol, scores in parts.items():
        confusion = scores["confusion"]
        interval = scores["accuracy_interval"]
        square = len(confusion) == classes and all(len(row) == classes for row in confusion)
        if (
            (interval is not None and len(interval) != 2)
            or not classes
            or not square
            or set(scores["per_class"]) != set(document["classes"])
        ):
            raise DamageError(f"{source}: the scores of {protocol} are not of its {classes} classes; train again")
        splits = document["splits"].get(protocol, {"train": {}, "test": {}})
        for named in (scores["clips"], splits["train"], splits["test"]):
            if set(named) != set(scores["folds"]) or not named:
                raise DamageError(f"{source}: the scores of {protocol} are not of its splits; train again")


def _check(value: Any, expected: Any, name: str, source: str) -> None:
    if isinstance(expected, Perhaps):
        if value is not None:
            _check(value, expected.of, name, source)
    elif isinstance(expected, Named):
        if not isinstance(value, dict) or len(value) > expected.most or any(len(key) > LONGEST_TEXT for key in value):
            raise _strange(source, name, value, f"up to {expected.most} things by name")
        for key, inner in value.items():
            _check(inner, expected.of, f"{name}.{key[:40]}", source)
    elif isinstance(expected, Listed):
        if not isinstance(value, list) or len(value) > expected.most:
            raise _strange(source, name, value, f"a list of up to {expected.most}")
        for i, inner in enumerate(value):
            _check(inner, expected.of, f"{name}[{i}]", source)
    elif isinstance(expected, dict):
        if not isinstance(value, dict):
            raise _strange(source, name, value, f"an object with {', '.join(expected)}")
        for key, inner in expected.items():
            _check(value.get(key), inner, f"{name}.{key}".strip("."), source)
    elif not _is(value, expected):
        raise _strange(source, name, value, expected)


def _is(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str) and len(value) <= LONGEST_TEXT
    if kind == VALUE:
        if isinstance(value, list):
            return len(value) <= 1000 and all(not isinstance(one, list) and _is(one, VALUE) for one in value)
        return value is None or isinstance(value, bool) or _is(value, NUMBER) or _is(value, TEXT)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    if kind == WHOLE:
        return isinstance(value, int) and 0 <= value < 1 << 53
    return kind == NUMBER or 0 <= value <= 1


def _strange(source: str, name: str, value: Any, expected: str) -> DamageError:
    shown = repr(value)[:60] if not isinstance(value, dict | list) else f"{type(value).__name__} of {len(value)}"
    return DamageError(f"{source}: {name} is {shown}, expected {expected}; train again")
