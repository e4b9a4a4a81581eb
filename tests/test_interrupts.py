"""Ctrl-C ends a command whenever it comes."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

WHILE = {
    "a callback from C runs": """
        @ctypes.CFUNCTYPE(None)
        def call():
            signal.raise_signal(signal.SIGINT)
        call()
    """,
    "a destructor runs": """
        class Thing:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)
        Thing()
    """,
    "a command works": "signal.raise_signal(signal.SIGINT)",
}


@pytest.mark.parametrize("moment", WHILE)
def test_ctrl_c_ends_a_command_while(moment):
    """Python drops it in the first two; it comes once more, and nothing is printed about that."""
    program = """
        import ctypes, signal, time
        from us8k_batch.cli.interrupts import passed_on
        try:
            with passed_on():
                {}
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline:
                    time.sleep(0.01)
        except KeyboardInterrupt:
            print("ended")
    """
    indented = textwrap.indent(textwrap.dedent(WHILE[moment]), " " * 8)
    script = textwrap.dedent(program).replace("        {}", indented)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("ended\n", "")


def test_other_dropped_errors_are_told_as_ever():
    """Only Ctrl-C is sent again."""
    script = """
from us8k_batch.cli.interrupts import passed_on
class Thing:
    def __del__(self):
        raise ValueError("told")
with passed_on():
    Thing()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert "ValueError: told" in done.stderr
