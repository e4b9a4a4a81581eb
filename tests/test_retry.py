"""Retries: a few, further and further apart, and only when the storage is at fault."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog.unreadable import MissingClipError
from us8k_batch.errors import StorageError, StorageRefusedError
from us8k_batch.objects import retry as retrying
from us8k_batch.objects.retry import MOST_SECONDS, PAUSES, SERVER_PAUSES, Threads, given_up_by, pauses, retry


def flaky(failures: int):
    """Return a call that fails so many times before it answers."""
    remaining = iter(range(failures))

    def call() -> str:
        for _ in remaining:
            raise StorageError("busy")
        return "answer"

    return call


@given(st.text())
def test_pauses_grow_and_stay_near_the_rule(key):
    """Each is between three and five quarters of its place in the rule, and follows from the key alone."""
    assert pauses(key) == pauses(key)
    assert list(pauses(key)) == sorted(pauses(key))
    assert all(0.75 * rule <= pause <= 1.25 * rule for pause, rule in zip(pauses(key), PAUSES, strict=True))


@pytest.mark.parametrize("failures", range(len(PAUSES) + 1))
def test_an_answer_ends_the_waiting(failures):
    """As many pauses as failures, the first ones, and then the answer."""
    slept: list[float] = []
    assert retry(flaky(failures), "a.wav", slept.append) == "answer"
    assert tuple(slept) == pauses("a.wav")[:failures]


def test_a_storage_that_never_answers_is_given_up():
    """The last error comes through once all pauses are used up."""
    slept: list[float] = []
    with pytest.raises(StorageError, match="busy"):
        retry(flaky(100), "a.wav", slept.append)
    assert tuple(slept) == pauses("a.wav")


def test_a_missing_clip_is_an_answer():
    """What is the clip's own fault is not tried again."""
    calls = []

    def missing() -> None:
        calls.append(1)
        raise MissingClipError("a.wav: no such file")

    with pytest.raises(MissingClipError):
        retry(missing, "a.wav", calls.append)
    assert calls == [1]


@given(st.text())
def test_a_server_is_waited_for_longer_than_a_minute(key):
    """Whatever the jitter; and so seldom at last that it can recover."""
    assert 60 < sum(pauses(key, SERVER_PAUSES)) < MOST_SECONDS
    assert list(pauses(key, SERVER_PAUSES)) == sorted(pauses(key, SERVER_PAUSES))


def test_what_is_refused_is_an_answer():
    """Another region, another key: the same request would be refused again."""

    def refuse() -> None:
        raise StorageRefusedError("another region")

    with pytest.raises(StorageRefusedError):
        retry(refuse, "a.wav", pytest.fail)


def test_long_pauses_are_said_and_not_too_often(caplog, monkeypatch):
    """What failed and how long it is still tried; a second request that fails at the same time adds no line."""
    monkeypatch.setattr(retrying, "_last_told", [-1e9])
    for _ in range(2):
        assert retry(flaky(6), "a.wav", lambda _: None, SERVER_PAUSES) == "answer"
    left = sum(pauses("a.wav", SERVER_PAUSES)[3:])
    assert [record.getMessage() for record in caplog.records] == [f"busy; asking again for another {left:.0f} s"]


def test_a_wait_that_is_given_up_ends_at_once():
    """The heartbeat of a run that ended does not keep it from ending; the storage's last error comes through."""
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with given_up_by(stop), pytest.raises(StorageError, match="busy"):
        retry(flaky(100), "a.wav", None, (300.0,))


def test_ctrl_c_ends_what_threads_wait_for():
    """A listing whose server is down for a minute ends when its user does not want to wait."""
    waiting = threading.Event()

    def busy(_: int) -> None:
        waiting.set()
        retry(flaky(100), "a.wav", None, (300.0,))

    def interrupted() -> None:
        with Threads(2) as pool:
            found = pool.map(busy, range(8))
            assert waiting.wait(20)
            raise KeyboardInterrupt
        list(found)

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not {thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")} - before
