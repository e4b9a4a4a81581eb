"""What a run answers when it is asked to stop."""

from __future__ import annotations

import signal

from us8k_batch.run.interrupt import asked_to_stop


def test_a_signal_while_a_line_is_printed_is_answered_a_little_later():
    """A stream cannot print two lines at once; the answer comes when the run next looks, and once."""
    told = []
    busy = True

    def tell(line):
        if busy:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")
        told.append(line)

    with asked_to_stop(tell) as stop:
        signal.raise_signal(signal.SIGTERM)
        assert told == []
        busy = False
        assert stop()
        assert stop()
    assert len(told) == 1
    assert told[0].startswith("stopping: finishing the shards in hand")
