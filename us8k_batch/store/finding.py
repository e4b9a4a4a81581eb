"""What a proof finds: one thing that is not as it was written, and whom it concerns."""

from __future__ import annotations

from dataclasses import dataclass

CLIPS_NAMED = 10
"""Clips that a finding names; it counts the others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written."""

    key: str
    """Which object."""
    problem: str
    """What is wrong with it."""
    clips: tuple[str, ...] = ()
    """Clips that it concerns, the first of them."""

    def __str__(self) -> str:
        """Say it in one line."""
        problem = self.problem.removeprefix(f"{self.key}: ")
        clips = f" (clips {', '.join(self.clips)})" if self.clips else ""
        return f"{self.key}: {problem}{clips}"


def named(clips: list[str]) -> tuple[str, ...]:
    """Return the first of some clips, and how many there are besides."""
    more = len(clips) - CLIPS_NAMED
    return (*clips[:CLIPS_NAMED], f"and {more} more") if more > 0 else tuple(clips)
