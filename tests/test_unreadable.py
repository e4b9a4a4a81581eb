"""Errors of single clips: each kind is a class that says what becomes of the clip, and survives the way back."""

from __future__ import annotations

import errno
import os
import pickle
import stat

import pytest

from us8k_batch.catalog.unreadable import FAULTS, fault_of_error, fault_of_mode, translate
from us8k_batch.errors import ClipError, StorageError


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.text)
def test_an_error_comes_back_from_a_worker_as_it_was(fault):
    """Class, stage, error and text survive pickling."""
    error = fault.at("audio/a.wav")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), again.stage, again.error, str(again)) == (type(error), "read", error.error, str(error))
    assert str(error).startswith("audio/a.wav: ")


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_is_the_clips_or_the_storages(number):
    """What is not known to be the clip's fault is the storage's, and can be tried again."""
    error = translate("a.wav", OSError(number, os.strerror(number), "/secret/place/a.wav"))
    mine = {"ENOENT", "ENOTDIR", "ENAMETOOLONG", "EACCES", "EPERM", "EISDIR", "ELOOP", "ENXIO", "ENODEV"}
    assert isinstance(error, ClipError if errno.errorcode[number] in mine else StorageError)
    assert (fault_of_error(OSError(number, "")) is not None) == isinstance(error, ClipError)
    assert "secret" not in str(error)


def test_an_error_without_a_number_is_the_storages():
    """Nothing is known of it."""
    assert isinstance(translate("a.wav", OSError("strange")), StorageError)


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (stat.S_IFREG, None),
        (stat.S_IFDIR, "not_a_file"),
        (stat.S_IFIFO, "not_a_file"),
        (stat.S_IFSOCK, "not_a_file"),
        (stat.S_IFCHR, "not_a_file"),
        (stat.S_IFBLK, "not_a_file"),
    ],
)
def test_only_a_regular_file_is_a_clip(mode, error):
    """Whatever its permissions."""
    fault = fault_of_mode(mode | 0o644)
    assert (fault and fault.kind.error) == error
