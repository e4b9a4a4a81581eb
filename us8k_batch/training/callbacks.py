"""What a network of Keras tells, and is asked, after every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.errors import DivergedError
from us8k_batch.training.epochs import Told

FAINTEST = 1e-7
"""Least probability that a logarithm is taken of, as in Keras' own loss."""
NAMES = {
    "loss": "train_loss", "accuracy": "train_accuracy",
    "val_loss": "validation_loss", "val_accuracy": "validation_accuracy",
}  # fmt: skip
"""What Keras measures, as we call it."""


def listener(keras: Any, epochs: int, told: Told | None) -> Any:
    """Make a callback that tells of every epoch.

    Raises
    ------
    DivergedError
        From the callback, if the loss is no number any more: nothing can be learnt from there on.
    """
    best: tuple[float, int | None] = (math.inf, None)

    def look(epoch: int, logs: dict[str, float]) -> None:
        nonlocal best
        if not math.isfinite(logs["loss"]):
            raise DivergedError(f"diverged in epoch {epoch + 1} of {epochs}: its loss is {logs['loss']}")
        best = min(best, (logs.get("val_loss", math.inf), epoch + 1), key=lambda one: one[0])
        if told is not None:
            values = {NAMES[name]: float(value) for name, value in logs.items() if name in NAMES}
            told("epoch", epoch + 1, epochs, values, best[1])

    return keras.callbacks.LambdaCallback(on_epoch_end=look)


def watcher(
    keras: Any, ask: Callable[[Any], NDArray[np.float32]], y: NDArray[np.int64], seen: list[dict[str, float]]
) -> Any:
    """Make a callback that notes after every epoch what the network says of clips it does not learn from.

    Parameters
    ----------
    keras : module
        Keras.
    ask : callable
        Asks a network about these clips; gives the probability of every class.
    y : int array, shape (n,)
        Their right classes.
    seen : list of dict
        Where ``test_loss`` and ``test_accuracy`` are noted.
    """

    def look(epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG001  # the signature is Keras'
        said = ask(callback.model).astype(np.float64)
        right = np.maximum(said[np.arange(len(y)), y], FAINTEST)
        seen.append(
            {"test_loss": float(-np.log(right).mean()), "test_accuracy": float((said.argmax(axis=1) == y).mean())}
        )

    callback = keras.callbacks.LambdaCallback(on_epoch_end=look)
    return callback


def by_epoch(history: Mapping[str, Sequence[float]], seen: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Put together what Keras measured and what was noted, one mapping for each epoch."""
    there = {name: said for name, said in NAMES.items() if name in history}
    epochs = range(len(history["loss"]))
    watched = seen or [{} for _ in epochs]
    return [
        {"epoch": i + 1, **{said: float(history[name][i]) for name, said in there.items()}, **watched[i]}
        for i in epochs
    ]
