"""A store's life, briefly: whatever happens to a dataset and to runs, the tables tell the truth.

``make chaos`` lets it live longer.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from whole_life import WholeLife

WholeLife.TestCase.settings = settings(
    max_examples=6, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWholeLife = WholeLife.TestCase
