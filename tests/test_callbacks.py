"""What is kept of each epoch; what networks tell while they learn is tested with them, in test_networks."""

from __future__ import annotations

from us8k_batch.training.callbacks import by_epoch


def test_what_was_measured_and_what_was_noted_stand_together() -> None:
    """By epoch, under our names; what Keras measures besides, such as the rate, is left out."""
    history = {"loss": [2.0, 1.0], "accuracy": [0.25, 0.5], "val_loss": [3.0, 2.5], "learning_rate": [0.1, 0.1]}
    seen = [{"test_loss": 4.0}, {"test_loss": 3.5}]
    assert by_epoch(history, seen) == [
        {"epoch": 1, "train_loss": 2.0, "train_accuracy": 0.25, "validation_loss": 3.0, "test_loss": 4.0},
        {"epoch": 2, "train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": 2.5, "test_loss": 3.5},
    ]


def test_nothing_need_be_watched() -> None:
    """A search looks at nothing but what it is told."""
    assert by_epoch({"loss": [2.0]}, []) == [{"epoch": 1, "train_loss": 2.0}]
