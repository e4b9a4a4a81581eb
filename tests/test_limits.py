"""Limits of threads and memory end a command with a message."""

from __future__ import annotations

import threading

import pytest
from click.testing import CliRunner

from us8k_batch.cli.base import Output, command
from us8k_batch.cli.limits import at_limit


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ZeroDivisionError])
def test_whatever_a_library_raises_at_a_limit_the_limit_is_named(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenBLAS, for one, interrupts its own process when it cannot start threads: nobody pressed Ctrl-C."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    @command("work", "us8k work")
    def work(output: Output) -> int:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        raise error

    done = CliRunner().invoke(work)
    assert done.exit_code == 1
    assert "us8k work: a limit of this machine allows no more threads, processes or memory" in done.stderr


def test_a_ctrl_c_is_still_one_and_a_fault_of_ours_still_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit nothing is different."""

    @command("work", "us8k work")
    def work(output: Output) -> int:
        raise KeyboardInterrupt

    @command("fault", "us8k fault")
    def fault(output: Output) -> int:
        raise ZeroDivisionError

    assert not at_limit()
    assert CliRunner().invoke(work).exit_code == 130
    assert isinstance(CliRunner().invoke(fault).exception, ZeroDivisionError)


def test_too_little_memory_is_named() -> None:
    """A MemoryError needs no further proof."""

    @command("work", "us8k work")
    def work(output: Output) -> int:
        raise MemoryError

    assert "ulimit -v" in CliRunner().invoke(work).stderr
