"""Which cluster a run is to use; imports no Dask, so that options are cheap to make."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Which cluster to use; the first that is given."""

    scheduler: str | None = None
    """Address of a running scheduler."""
    scheduler_file: str | None = None
    """File that a running scheduler wrote its address to."""
    spec: str | None = None
    """YAML file that names a cluster class and its arguments; see ``cluster/``."""
