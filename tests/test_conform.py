"""Documents and shapes: what fits is let through, what does not is named."""

from __future__ import annotations

from typing import Any

import pytest

from us8k_batch.training.conform import ANY_NAME, misfit

SHAPE = {
    "name": str,
    "share": float,
    "count": int,
    "maybe": (str, None),
    "folds": {ANY_NAME: float},
    "rows": [{"x": int}],
}
GOOD: dict[str, Any] = {
    "name": "a",
    "share": 1,
    "count": 2,
    "maybe": None,
    "folds": {"1": 0.5},
    "rows": [{"x": 1}],
    "more": 1,
}


def test_what_fits_is_let_through() -> None:
    """Whole numbers are floats too, and what is not named may be there."""
    assert misfit(GOOD, SHAPE) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": 1}, "name is '1'"),
        ({"share": True}, "share is 'True'"),
        ({"count": 1.5}, "count is '1.5'"),
        ({"maybe": 1}, "maybe is '1'"),
        ({"folds": []}, "folds is no object"),
        ({"folds": {"7": "x"}}, "folds.7 is 'x'"),
        ({"rows": {}}, "rows is no list"),
        ({"rows": [{"x": 1}, {}]}, "rows[1].x is missing"),
        ({"rows": [{"x": 1}, 3]}, "rows[1] is no object"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], said: str) -> None:
    """The first place that is not as it should be."""
    assert misfit(GOOD | changes, SHAPE) == said


def test_an_absent_name_is_named() -> None:
    """Every name of the shape must be there."""
    assert misfit({}, {"name": str}) == "name is missing"
    assert misfit([], {"name": str}) == "it is no object"
