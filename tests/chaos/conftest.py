"""Fixtures that tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest
from disturbed import CLIPS, Site, ended, make_sounds
from stores import files


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two thousand clips, 125 shards; ``US8K_TEST_CLIPS`` says otherwise."""
    return make_sounds(tmp_path_factory.mktemp("sounds") / "data")


@pytest.fixture(scope="session")
def undisturbed(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Extract them with made-up numbers, and without any disturbance; return the store's files."""
    site = Site(tmp_path_factory.mktemp("undisturbed"), sounds)
    ended(site.client("--workers", 2), site, 0)
    work = site.work()
    assert (work.clips, work.again, work.committed_again) == (CLIPS, 0, 0)
    return files(site.store)


@pytest.fixture
def site(sounds: Path, tmp_path: Path) -> Site:
    """Make a place where runs on these clips are disturbed."""
    return Site(tmp_path, sounds)
