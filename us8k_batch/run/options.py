"""What a run was asked for, and what it tells while it works and at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from us8k_batch.cluster.where import Where
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ConfigError
from us8k_batch.pages.card import notebook_card
from us8k_batch.settings import Settings

if TYPE_CHECKING:
    from us8k_batch.shard_task import ShardReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a run was asked for."""

    dataset: str
    """Folder, manifest or URL."""
    store: str
    """Folder or URL."""
    settings: Settings
    """How it is carried out."""
    config: FeatureConfig = field(default_factory=FeatureConfig)
    """What to compute, for a new store."""
    given: frozenset[str] = frozenset()
    """Feature parameters that were asked for; a store made with others is refused."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """By our name of a column of the dataset's metadata, its own name there."""
    clips_per_shard: int | None = None
    """Shard size of a new store; None means the default."""
    where: Where = field(default_factory=Where)
    """Which cluster."""
    engine: str = "auto"
    """Which engine computes."""
    retry_failed: bool = False
    """Try every failed clip again."""
    refresh_versions: bool = False
    """Compute again what was computed with other versions."""
    allow_removal: bool = False
    """Go on although more than a tenth of the live clips would be unpublished."""
    max_failures: str | None = None
    """Stop after so many failed clips, or such a percentage."""
    force: bool = False
    """Take the lease over."""
    performance_report: str | None = None
    """Write Dask's performance report to this file."""

    def __post_init__(self) -> None:
        """Refuse a limit or size that cannot be meant."""
        if self.clips_per_shard is not None and self.clips_per_shard < 1:
            raise ConfigError(f"--clips-per-shard {self.clips_per_shard}: expected 1 or more")
        if self.max_failures is not None and not re.fullmatch(r"\d+|\d+(\.\d+)?%", self.max_failures, re.ASCII):
            raise ConfigError(f"--max-failures {self.max_failures}: expected a number such as 50, or 5%")

    def too_many_failures(self, failed: int, done: int) -> bool:
        """Tell whether the run is hopeless; a percentage counts once 100 clips are done."""
        limit = self.max_failures
        if limit is None:
            return False
        if limit.endswith("%"):
            return done >= 100 and 100 * failed > float(limit[:-1]) * done
        return failed > int(limit)


class Progress(Protocol):
    """Where a run tells what it is doing."""

    def tell(self, message: str) -> None:
        """Say one line."""

    def start(self, clips: int) -> None:
        """Begin to count clips."""

    def advance(self, report: ShardReport) -> None:
        """Count a shard."""

    def finish(self) -> None:
        """Stop counting."""


class Lines:
    """Progress for whoever wants lines, of the whole and not of each shard."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def tell(self, message: str) -> None:
        """Say one line."""
        self._tell(message)

    def start(self, clips: int) -> None:
        """Say how many clips there are."""
        self._tell(f"extracting {clips} clips")

    def advance(self, report: ShardReport) -> None:
        """Say nothing: shards are too many."""

    def finish(self) -> None:
        """Leave nothing open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a run did."""

    run_id: str | None
    """Name of the run's record; None if there was nothing to do."""
    store: str
    planned: dict[str, int]
    """Clips by what was to happen to them."""
    extracted: int = 0
    """Clips that got a result in this run."""
    failed: int = 0
    """Clips that failed in this run."""
    failures: int = 0
    """Clips in the published ``failures.parquet``."""
    live: int = 0
    """Clips in the published ``pooled.parquet``."""
    seconds: float = 0.0
    clips_per_second: float = 0.0
    audio_seconds: float = 0.0
    """Duration of the audio that was extracted."""
    workers: int = 0
    interrupted: bool = False
    """Whether the run was asked to stop before it was done."""

    @property
    def exit_status(self) -> int:
        """Exit status for a shell or a batch system."""
        if self.interrupted:
            return 130
        return 3 if self.failures else 0

    def _repr_html_(self) -> str:
        planned = ", ".join(f"{n:,} {what}" for what, n in self.planned.items() if n)
        facts = [
            ("planned", planned or "nothing"),
            ("extracted", f"{self.extracted:,} in {self.seconds:.1f} s ({self.clips_per_second:.0f} clips/s)"),
            ("failed", f"{self.failed:,} in this run, {self.failures:,} published"),
            ("live", f"{self.live:,}"),
        ]
        return notebook_card(f"run {self.run_id or '(nothing to do)'} on {self.store}", facts)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        values = asdict(self)
        del values["interrupted"]
        return values
