"""Epochs reach whoever listens, from any process of this machine, and never hold up who learns."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from us8k_batch.training.epochs import Epoch, listening, teller

CODE = """
import sys
from us8k_batch.training.epochs import teller
tell = teller(sys.argv[1], "3", 7)
tell("epoch", 1, 1, {"train_loss": 0.5}, None)
"""


class Heard:
    """Remembers epochs, and lets a test wait for the one that it wants."""

    def __init__(self, wanted: int) -> None:
        self.epochs: list[Epoch] = []
        self.wanted = wanted
        self.there = threading.Event()

    def __call__(self, epoch: Epoch) -> None:
        """Remember one."""
        self.epochs.append(epoch)
        if len(self.epochs) == self.wanted:
            self.there.set()


def test_an_epoch_comes_from_another_process_as_it_was_told() -> None:
    """What a model tells where it learns is what is heard, with its split and trial."""
    heard = Heard(1)
    with listening(heard) as address:
        subprocess.run([sys.executable, "-c", CODE, str(address)], check=True)
        assert heard.there.wait(30)
    assert heard.epochs == [Epoch("3", 7, "epoch", 1, 1, {"train_loss": 0.5}, None)]


def test_of_many_epochs_the_first_and_the_last_are_heard() -> None:
    """Rounds that take a millisecond are not all shown: they would cost more than they tell."""
    heard = Heard(2)
    with listening(heard) as address:
        tell = teller(address, "1", None)
        for number in range(1, 1001):
            tell("round", number, 1000, {}, None)
        assert heard.there.wait(30)
    assert (heard.epochs[0].number, heard.epochs[-1].number) == (1, 1000)
    assert len(heard.epochs) < 500


def test_nobody_who_listens_is_no_error() -> None:
    """Without an address, and when the listener has gone, a model learns on."""
    with listening(Heard(1)) as address:
        pass
    for gone in (None, address):
        teller(gone, "1", None)("epoch", 1, 1, {}, None)


def test_a_listener_whose_terminal_closed_ends_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the terminal ends the listening, and nothing else."""
    tried = threading.Event()

    def closed(_epoch: Epoch) -> None:
        tried.set()
        raise BrokenPipeError

    with listening(closed) as address:
        teller(address, "1", None)("epoch", 1, 1, {}, None)
        assert tried.wait(30)
    assert capsys.readouterr().err == ""


def test_where_no_socket_fits_nothing_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder with a long name is no reason not to train."""
    long = tmp_path / ("n" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with listening(Heard(1)) as address:
        assert address is None
    assert list(long.iterdir()) == []
