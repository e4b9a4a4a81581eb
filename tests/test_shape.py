"""A run's document from a stranger: whatever is otherwise than a run writes it is refused by name."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import pytest
from run_documents import make_article, make_document, write_tables

from us8k_batch.errors import DamageError
from us8k_batch.training.curves import read_curves
from us8k_batch.training.mistakes import worst_mistakes
from us8k_batch.training.page import run_page
from us8k_batch.training.shape import RUN, refuse_other

STRANGE = (
    None,
    "x" * 20_000,
    -1,
    2.5,
    float("nan"),
    float("inf"),
    1 << 80,
    True,
    [[[]]],
    {"a": {"b": {"c": {"d": []}}}},
)


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every place in a document; of a list its first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from fields(one, (*path, key))


def test_what_a_run_writes_is_taken() -> None:
    """Runs of folds and of the article's protocol pass."""
    refuse_other(make_document(), "here")
    refuse_other(make_article(), "here")


@pytest.mark.parametrize("name", [name for name in RUN if name in make_document() and name != "models"])
def test_another_kind_of_thing_is_refused_by_name(name: str) -> None:
    """A field that holds something else is named, with what is there and what was expected."""
    with pytest.raises(DamageError, match=rf"here: {name}.* is .*, expected "):
        refuse_other(make_document(**{name: "x" * 20_000}), "here")


@pytest.mark.parametrize("make", [make_document, make_article])
def test_no_document_breaks_a_page(make: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field in turn is exchanged for every strange thing: a page is made, or it is refused; nothing else."""
    write_tables(tmp_path)
    monkeypatch.setattr("us8k_batch.training.page.read_curves", functools.cache(read_curves))
    monkeypatch.setattr("us8k_batch.training.page.worst_mistakes", functools.cache(worst_mistakes))
    whole, made = make(), 0
    for path in fields(whole):
        for strange in STRANGE:
            document = copy.deepcopy(whole)
            place = document
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = strange
            try:
                refuse_other(document, "here")
            except DamageError:
                continue
            run_page(tmp_path, document)
            made += 1
    assert made > 50


def test_scores_of_other_classes_or_splits_are_refused() -> None:
    """A confusion that is no square of the classes, and splits that are scored but not described, contradict."""
    document = make_document()
    document["scores"]["confusion"].pop()
    with pytest.raises(DamageError, match="not of its 3 classes"):
        refuse_other(document, "here")
    document = make_document()
    document["splits"]["folds"]["train"].pop("1")
    with pytest.raises(DamageError, match="not of its splits"):
        refuse_other(document, "here")
    with pytest.raises(DamageError, match="do not belong together"):
        refuse_other({**make_article(), "beside": {}}, "here")
