from __future__ import annotations

import pytest

from us8k_batch.errors import RequestError
from us8k_batch.training.inputs import choose_features
from us8k_batch.training.models import ModelSpec

VECTORS = ModelSpec(name="v", build=lambda *_: None)  # type: ignore[arg-type,return-value]
FRAMES = ModelSpec(name="f", build=lambda *_: None, takes="frames")  # type: ignore[arg-type,return-value]
MEANS = ModelSpec(name="m", build=lambda *_: None, features="mean+std")  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("spec", "asked", "protocol", "expected"),
    [
        (VECTORS, None, "folds", "salamon14"),
        (VECTORS, None, "article", "mean"),
        (VECTORS, "all", "article", "all"),
        (MEANS, None, "folds", "mean+std"),
        (MEANS, None, "article", "mean"),
        (MEANS, "salamon14", "folds", "salamon14"),
        (FRAMES, None, "article", "frames"),
        (FRAMES, "frames", "folds", "frames"),
    ],
)
def test_what_is_asked_for_comes_before_the_protocols_and_the_models_own(spec, asked, protocol, expected):
    """Asked, else the tutorial's means for its protocol, else the model's own."""
    assert choose_features(spec, asked, protocol) == expected


@pytest.mark.parametrize(("spec", "asked"), [(VECTORS, "frames"), (FRAMES, "mean"), (VECTORS, "means")])
def test_what_a_model_cannot_learn_from_is_refused(spec, asked):
    """The message says what was expected."""
    with pytest.raises(RequestError, match="expected"):
        choose_features(spec, asked, "folds")
