"""A store's life, briefly: whatever happens to a dataset and to runs, the tables tell the truth.

``make chaos`` lets it live longer.
"""

from __future__ import annotations

from hypothesis import settings
from whole_life import WholeLife

WholeLife.TestCase.settings = settings(max_examples=10, stateful_step_count=15, deadline=None)
TestWholeLife = WholeLife.TestCase
