"""Published accuracies of public datasets, for runs on the same classes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Anchor:
    """One published accuracy under the dataset's predefined folds; measured by others, with other features."""

    model: str
    accuracy: float
    """Share of the clips, as all scores here."""
    source: str


@dataclass(frozen=True, slots=True)
class Published:
    """What was published of one dataset, best first."""

    name: str
    clips: int
    anchors: tuple[Anchor, ...]


def published_for(classes: Sequence[str]) -> tuple[Published, ...]:
    """Return the public datasets that have exactly these classes."""
    text = resources.files("us8k_batch.training").joinpath("anchors.toml").read_text()
    return tuple(
        Published(
            name=one["name"],
            clips=one["clips"],
            anchors=tuple(Anchor(a["model"], a["accuracy"] / 100, a["source"]) for a in one["anchors"]),
        )
        for one in tomllib.loads(text)["dataset"]
        if list(classes) == one["classes"]
    )
