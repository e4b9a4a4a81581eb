"""What is said while kernels are compiled."""

from __future__ import annotations

from us8k_batch.features.compiling import CompilingNotice


def test_one_line_for_each_machine_every_few_seconds() -> None:
    """Several decoders of one machine make one line, at once, and not another one at every word."""
    lines: list[str] = []
    notice = CompilingNotice(lines.append)
    for seconds in (1.2, 1.3, 2.2):
        notice(seconds)
        notice(seconds, "node7")
    assert lines == [
        "compiling kernels, once on this machine: 1 s so far",
        "compiling kernels, once on node7: 1 s so far",
    ]
