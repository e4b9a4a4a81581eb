"""Many long lives of stores; ``US8K_TEST_LIVES=5000`` is a night's work."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from whole_life import WholeLife

LIVES = int(os.environ.get("US8K_TEST_LIVES", "200"))
STEPS = 30


def test_a_store_lives_long(record_property: Callable[[str, object], None]) -> None:
    """Two hundred lives of thirty steps: the tables tell the truth after each."""
    wanted = settings(
        max_examples=LIVES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(WholeLife, settings=wanted)
    record_property("figure", f"{LIVES} lives of {STEPS} steps: none lied")
