"""Run one fuzz target: ``python tests/fuzz/fuzz_commit.py [seconds]``; ``make fuzz`` installs what it needs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

MEMORY_MB = 3000
"""Memory that no input may take; libFuzzer stops the target if one does."""
SECONDS = 600
GOLDEN = Path(__file__).parents[1] / "golden"
"""Where seeds come from."""


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes], longest: int) -> None:
    """Give a target ever other inputs, grown from seeds; what it raises, or takes too long for, ends it."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else str(SECONDS)
    with tempfile.TemporaryDirectory(prefix="us8k-fuzz-") as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / f"seed-{number:03d}").write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={longest}", "-timeout=20"]
        atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", corpus], target)
        atheris.Fuzz()
