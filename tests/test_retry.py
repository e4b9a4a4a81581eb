"""Retries: a few, further and further apart, and only when the storage is at fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog.unreadable import MissingClipError
from us8k_batch.errors import StorageError
from us8k_batch.objects.retry import PAUSES, pauses, retry


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
    """Each is between half and one and a half of its place in the rule, and follows from the key alone."""
    assert pauses(key) == pauses(key)
    assert list(pauses(key)) == sorted(pauses(key))
    assert all(0.5 * rule <= pause <= 1.5 * rule for pause, rule in zip(pauses(key), PAUSES, strict=True))


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
