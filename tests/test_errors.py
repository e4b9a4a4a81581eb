"""Errors: they survive the way back from a worker, and each has its exit status."""

from __future__ import annotations

import inspect
import pickle

import pytest

from us8k_batch import errors
from us8k_batch.errors import Failure, JobError, RequestError, Us8kError

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Us8kError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling(kind: type[Us8kError]) -> None:
    """What a worker raises arrives as the same class with the same message."""
    sent = kind("c001: expected a WAV file")
    sent.add_note("a note")
    arrived = pickle.loads(pickle.dumps(sent))  # noqa: S301  # our own bytes
    assert type(arrived) is kind
    assert str(arrived) == "c001: expected a WAV file"
    assert arrived.exit_status == kind.exit_status


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_takes_one_message(kind: type[Us8kError]) -> None:
    """No class defines how it is made, or it would not unpickle one day."""
    assert "__init__" not in vars(kind)


def test_exit_statuses_tell_a_bad_request_from_a_failed_job() -> None:
    """A bad request is 2, a job that can be resumed 1."""
    assert {kind.exit_status for kind in CLASSES if issubclass(kind, RequestError)} == {2}
    assert JobError.exit_status == 1


def test_a_failure_is_a_value() -> None:
    """A failure is compared by what it says, and survives pickling."""
    failure = Failure("decode", "empty", "0 samples")
    assert pickle.loads(pickle.dumps(failure)) == failure  # noqa: S301  # our own bytes
