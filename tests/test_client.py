"""A client of a scheduler, or nothing that is left of one."""

from __future__ import annotations

import gc
import threading

import pytest
from clusters import HandStarted
from distributed import Client

from us8k_batch.cluster.client import open_client


def count_loops() -> int:
    """Count the threads in which Dask runs event loops."""
    return sum(thread.name == "IO loop" for thread in threading.enumerate())


def clients() -> list[Client]:
    """Return all clients of this process, also those that nobody but the collector knows."""
    # By type(), because what a weak proxy stands for may be gone.
    return [each for each in gc.get_objects() if issubclass(type(each), Client)]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1", "nothing://127.0.0.1:1"])
def test_nothing_is_left_of_a_client_that_found_no_scheduler(address: str) -> None:
    """No thread of its event loop, and nothing that a collection in another thread would have to close."""
    loops, others = count_loops(), {id(each) for each in clients()}
    gc.disable()
    try:
        with pytest.raises((OSError, TypeError, ValueError)):
            open_client(address, timeout=0.1)
        assert {each.status for each in clients() if id(each) not in others} <= {"closed"}
        assert count_loops() == loops
    finally:
        gc.enable()


def test_a_client_that_found_one_is_open(hand_started: HandStarted) -> None:
    """It is what Dask makes of it, and not the one that Dask would use by itself."""
    with open_client(hand_started.address) as client:
        assert client.status == "running"
        assert client.submit(int, "5").result(30) == 5
        with pytest.raises(ValueError, match="No clients found"):
            Client.current()
