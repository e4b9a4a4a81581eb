"""The record of a run: who computed what, when, with which versions, and how long each stage took."""

from __future__ import annotations

import getpass
import platform
import secrets
import socket
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from us8k_batch.features.process import ChildStart
from us8k_batch.objects import Objects
from us8k_batch.shard_task import ShardReport
from us8k_batch.store.layout import RUNS
from us8k_batch.store.run_records import seal
from us8k_batch.version import __version__


def new_run_id() -> str:
    """Return a name that sorts by time and that no other run has."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"


@dataclass(slots=True)
class Tally:
    """Counts and times of a run, summed shard by shard."""

    extracted: int = 0
    failed: int = 0
    shards: int = 0
    abandoned: int = 0
    audio_seconds: float = 0.0
    read_bytes: int = 0
    starts: list[ChildStart] = field(default_factory=list)
    """Decoder children that were started."""
    seconds: Counter[str] = field(default_factory=Counter)
    """Time by stage, in seconds, summed over all workers."""
    failures: Counter[str] = field(default_factory=Counter)
    """Failed clips by error."""

    def add(self, report: ShardReport) -> None:
        """Count a committed shard."""
        self.shards += 1
        self.extracted += report.n_extracted
        self.failed += report.n_failed
        self.audio_seconds += report.audio_seconds
        self.read_bytes += report.read_bytes
        self.seconds.update(report.seconds)
        self.failures.update(report.failures)

    def to_dict(self) -> dict[str, Any]:
        """Return what the record says of it."""
        return {
            "extracted": self.extracted,
            "failed": self.failed,
            "failures": dict(self.failures.most_common()),
            "shards": self.shards,
            "abandoned_shards": self.abandoned,
            "audio_seconds": round(self.audio_seconds, 3),
            "read_bytes": self.read_bytes,
            "warm_up": self.warm_up(),
            "worker_seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
        }

    def warm_up(self) -> dict[str, float]:
        """Sum up how decoder children started; times until READY, in seconds."""
        seconds = [start.seconds for start in self.starts]
        return {
            "children": len(seconds),
            "compiled": sum(start.compiled for start in self.starts),
            "median_seconds": round(median(seconds), 3) if seconds else 0.0,
            "most_seconds": round(max(seconds, default=0.0), 3),
        }


def write_record(objects: Objects, run_id: str, started: datetime, values: dict[str, Any]) -> None:
    """Create ``runs/RUN.json``, with its own digest."""
    now = datetime.now(UTC)
    document = {
        "run_id": run_id,
        "program": f"us8k_batch {__version__}",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "host": socket.gethostname(),
        "user": _user(),
        "started": started.isoformat(timespec="milliseconds"),
        "finished": now.isoformat(timespec="milliseconds"),
        **values,
    }
    objects.create(f"{RUNS}/{run_id}.json", seal(document))


def keep_report(objects: Objects, run_id: str, file: str) -> None:
    """Keep the performance report that Dask has written to a file beside the run's record."""
    objects.create(f"{RUNS}/{run_id}.html", Path(file).read_bytes())


def without_secrets(url: str) -> str:
    """Return a path or URL without a user name, password or query."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  # a special file, read by line
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
