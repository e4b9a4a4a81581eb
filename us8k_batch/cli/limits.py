"""Whether this process may still start threads."""

from __future__ import annotations

import os
import threading

MESSAGE = (
    "a limit of this machine allows no more threads, processes or memory: raise it (`ulimit -u`, `ulimit -v`, or the "
    "container's)"
)


def at_limit() -> bool:
    """Tell whether as many threads as numerical libraries start, one per core, cannot be started."""
    let_go = threading.Event()
    threads = [threading.Thread(target=let_go.wait, daemon=True) for _ in range(os.cpu_count() or 1)]
    try:
        for thread in threads:
            thread.start()
    except (RuntimeError, MemoryError):
        return True
    finally:
        let_go.set()
    return False
