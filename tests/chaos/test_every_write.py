"""Faults that the tests of every day leave out, at every write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from failpoints import RunServer
from test_crash import (  # noqa: F401  # fixtures
    Story,
    break_every,
    faults,
    first,
    folder,
    second,
    server,
)


@pytest.mark.parametrize("how", ["answer lost", "broken", "surprised"])
@pytest.mark.parametrize("run", ["first", "second"])
def test_any_write_may_fail_once(
    run: str,
    how: str,
    server: RunServer,  # noqa: F811
    folder: Path,  # noqa: F811
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """A lost answer, a broken disk or a mistake in the program: the next run leaves what an undisturbed one does."""
    story: Story = request.getfixturevalue(run)
    every = faults(story, how)
    assert len(every) >= 20
    break_every(server, story, folder, every)
    record_property("figure", f"{run} run {how}: {len(every)}/{len(every)}")
