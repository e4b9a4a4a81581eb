"""Search spaces: they name what models have, and every default lies inside."""

from __future__ import annotations

import pytest
from optuna.trial import FixedTrial

from us8k_batch.training.models import PLACES, get_model, with_parameters
from us8k_batch.training.spaces import SPACES, draw, encode


@pytest.mark.parametrize("model", SPACES)
def test_defaults_lie_inside_and_survive_encoding(model: str) -> None:
    """The defaults of a model are a point of its space, and are drawn from their own encoding unchanged."""
    spec, space = get_model(model), SPACES[model]
    assert set(space) <= set(spec.parameters)
    drawn = draw(FixedTrial(encode(space, spec.parameters)), space)
    assert with_parameters(spec, drawn) == dict(spec.parameters)


def test_every_model_that_has_something_to_try_has_a_space() -> None:
    """All models but the one that learns nothing can be tuned."""
    assert set(SPACES) == set(PLACES) - {"dummy"}
