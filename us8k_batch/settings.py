"""How a run is carried out: values from the command line, the environment and ``us8k.yaml``, through Dask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import dask.config
import yaml

from us8k_batch.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Settings of one run; none of them changes a result."""

    workers: int | None
    """Workers of a local cluster; None means one per core."""
    shards_per_thread: int
    """Shards submitted and not finished, per worker thread."""
    worker_deadline: float
    """How long to go on without any worker, in seconds."""
    attempts: int
    """Times that a shard is given to a worker before the run ends."""
    clip_memory: int
    """Memory that decoding one clip may take, in bytes."""
    clip_seconds: float
    """Time that one clip may take beside its own duration, in seconds."""
    source_bytes: int
    """Largest source that is read into memory, in bytes."""
    dashboard: str
    """Address of a local cluster's dashboard."""

    def __post_init__(self) -> None:
        """Refuse a value of the wrong type or out of range, naming the setting."""
        for name in ("workers", "shards_per_thread", "attempts", "clip_memory", "source_bytes"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not whole and (name, value) != ("workers", None):
                raise ConfigError(f"us8k.{name.replace('_', '-')} = {value!r}: expected a whole number from 1")
        for name in ("worker_deadline", "clip_seconds"):
            value = getattr(self, name)
            # Written so that NaN is refused too.
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigError(f"us8k.{name.replace('_', '-')} = {value!r}: expected a number of seconds above 0")
        if not isinstance(self.dashboard, str):
            raise ConfigError(f"us8k.dashboard = {self.dashboard!r}: expected an address such as 127.0.0.1:8787")


def load_settings(command_line: Mapping[str, Any] | None = None) -> Settings:
    """Gather the settings; values of None on the command line were not given.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    """
    defaults = yaml.safe_load((Path(__file__).parent / "us8k.yaml").read_text())["us8k"]
    configured = dask.config.get("us8k", default={})
    if not isinstance(configured, dict):
        raise ConfigError(f"us8k = {configured!r}: expected settings by name, as in us8k.yaml")
    given = {name: value for name, value in (command_line or {}).items() if value is not None}
    merged: dict[str, Any] = {}
    for source in (defaults, configured, given):
        merged.update({str(name).replace("-", "_"): value for name, value in source.items()})
    known = {field.name for field in fields(Settings)}
    unknown = sorted(set(merged) - known)
    if unknown:
        raise ConfigError(f"unknown setting us8k.{unknown[0]}: known are {', '.join(sorted(known))}")
    return Settings(**merged)
