"""Networks of Keras as scikit-learn classifiers: the same seed gives the same numbers, whatever runs beside them."""

from __future__ import annotations

import json
import logging
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.training import callbacks
from us8k_batch.training.epochs import Told
from us8k_batch.training.frames import ClipFrames
from us8k_batch.training.models import Parameters, require
from us8k_batch.training.splits import grouped_parts

Rows = NDArray[np.float32] | ClipFrames
Build = Callable[[Any, Any, int, int, Parameters], Any]
Vary = Callable[[Any, NDArray[np.float32], np.random.Generator], tuple[Any, NDArray[np.float32]]]

INNER_PARTS = 5
"""One of so many parts of the training clips is held out where training stops early."""
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"
"""Keeps XLA's matrix products on the thread that asks, so that sums are in one order on any number of cores."""
THREADS = "PJRT_NPROC"
"""How many processors XLA is told that there are. It divides convolutions and batches of 256 rows or more among
them, whatever its flags say, and then adds up in another order (jaxlib 0.10.2)."""
CONFIG = "config.json"
TRUSTED = frozenset(
    {
        "AdamW", "Adam", "BatchNormalization", "Conv1D", "Constant", "CosineDecay", "DTypePolicy", "Dense", "Dropout",
        "Functional", "GlobalAveragePooling1D", "GlorotUniform", "HeNormal", "InputLayer", "MaxPooling1D", "Multiply",
        "Normalization", "Ones", "ReLU", "Reshape", "Zeros", "__keras_tensor__",
    }
)  # fmt: skip
"""What our networks are made of; a file that names anything else is refused before Keras sees it."""

logger = logging.getLogger(__name__)


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A network that learns from rows of a feature set, or from clips of a `ClipFrames`.

    Keras' own wrapper shuffles with numpy's global generator, which folds that are fitted side by side would
    share, and gives no probabilities; this one draws everything from its seed.

    Parameters
    ----------
    build : callable
        Makes a compiled network out of Keras, rows to learn from, number of classes, seed and parameters.
    parameters : mapping
        All parameters; ``epochs``, ``batch_size`` and ``patience`` are used here. A patience of 0 learns from
        all clips for all epochs. Otherwise one inner part, of recordings of its own, is not learnt from;
        after so many epochs in which it did not get better the best weights are taken.
    seed : int
        What all random numbers start from.
    vary : callable, optional
        Changes each batch of inputs and one-hot targets while learning.
    """

    told: Told | None = None
    """Told of every epoch when it is over, once it is set."""

    def __init__(self, build: Build, parameters: Parameters, seed: int = 0, vary: Vary | None = None) -> None:
        self.build = build
        self.parameters = parameters
        self.seed = seed
        self.vary = vary

    def fit(
        self,
        X: Rows,  # noqa: N803
        y: NDArray[np.int64],
        groups: NDArray[np.int64] | None = None,
        watched: tuple[Rows, NDArray[np.int64]] | None = None,
    ) -> Self:
        """Learn from clips; `groups` are the codes of their recordings, -1 where unknown.

        The network is asked about `watched`, other clips and the codes of their labels, after every epoch: only to
        note how well it does on them.

        Raises
        ------
        RequestError
            If training is to stop early, and no class has clips of two recordings.
        DivergedError
            If the loss is no number any more.
        MissingExtraError
            If Keras or JAX is not installed.
        """
        keras, n_classes = load_keras(), int(y.max()) + 1
        learn, check = np.arange(len(y)), np.arange(0)
        if self.parameters["patience"]:
            learn, check = _hold_out(y, np.full(len(y), -1) if groups is None else groups, self.seed)
        size, epochs = int(self.parameters["batch_size"]), int(self.parameters["epochs"])
        steps = -(-len(learn) // size)
        self.classes_ = np.arange(n_classes)
        self.model_ = self._built(keras, X[learn], n_classes, steps * epochs)
        targets = np.eye(n_classes, dtype=np.float32)[y]
        more: dict[str, Any] = {"callbacks": []}
        seen: list[dict[str, float]] = []
        more["callbacks"].append(callbacks.listener(keras, epochs, self.told))
        if watched is not None:
            rows, codes = watched
            more["callbacks"].append(callbacks.watcher(keras, lambda model: _ask(model, rows, size), codes, seen))
        if len(check):
            more["validation_data"] = _in_order(X, targets, check, size)
            more["validation_steps"] = -(-len(check) // size)
            more["callbacks"].append(
                keras.callbacks.EarlyStopping(patience=int(self.parameters["patience"]), restore_best_weights=True)
            )
        batches = self._shuffled(X, targets, learn, size)
        kept = self.model_.fit(batches, steps_per_epoch=steps, epochs=epochs, verbose=0, shuffle=False, **more)
        self.history_ = callbacks.by_epoch(kept.history, seen)
        return self

    def predict_proba(self, X: Rows) -> NDArray[np.float32]:  # noqa: N803
        """Return the probability of every class, float32, shape (n, n_classes)."""
        return _ask(self.model_, X, int(self.parameters["batch_size"]))

    def predict(self, X: Rows) -> NDArray[np.int64]:  # noqa: N803
        """Return the most probable class of each row."""
        likeliest: NDArray[np.int64] = self.predict_proba(X).argmax(axis=1)
        return likeliest

    def predict_untrained(self, X: Rows, n_classes: int) -> NDArray[np.int64]:  # noqa: N803
        """Return what the network says before it has learnt anything, as the tutorial prints it."""
        model = self._built(load_keras(), X, n_classes, 1)
        likeliest: NDArray[np.int64] = _ask(model, X, int(self.parameters["batch_size"])).argmax(axis=1)
        return likeliest

    def layers(self) -> list[dict[str, Any]]:
        """Describe the layers from input to output: name, kind, shape of what comes out, number of parameters."""
        return [
            {
                "name": layer.name,
                "kind": type(layer).__name__,
                "shape": [size if size is None else int(size) for size in layer.output.shape],
                "parameters": int(layer.count_params()),
            }
            for layer in self.model_.layers
        ]

    def save(self, file: Path) -> None:
        """Write the network as Keras' own archive, without what it was trained with."""
        load_keras().Model(self.model_.inputs, self.model_.outputs, name=self.model_.name).save(file)

    def _built(self, keras: Any, rows: Rows, n_classes: int, steps: int) -> Any:
        return self.build(keras, rows, n_classes, self.seed, {**self.parameters, "steps": steps})

    def _shuffled(
        self, rows: Rows, targets: NDArray[np.float32], clips: NDArray[np.int64], size: int
    ) -> Iterator[tuple[Any, NDArray[np.float32]]]:
        rng = np.random.default_rng(self.seed)
        while True:
            order = rng.permutation(clips)
            for start in range(0, len(order), size):
                chosen = order[start : start + size]
                inputs, wanted = _inputs(rows, chosen), targets[chosen]
                yield (inputs, wanted) if self.vary is None else self.vary(inputs, wanted, rng)


def load_keras() -> Any:
    """Import Keras on JAX, with one thread for each network.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    RequestError
        If Keras was imported before, on something else.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    flags = os.environ.get("XLA_FLAGS", "")
    if ONE_THREAD not in flags or os.environ.get(THREADS) != "1":
        if "jax" in sys.modules:
            logger.warning(
                "JAX was imported before: the last digits may depend on the number of cores; start Python with "
                "%s=1 XLA_FLAGS=%s",
                THREADS,
                ONE_THREAD,
            )
        os.environ["XLA_FLAGS"] = flags if ONE_THREAD in flags else f"{flags} {ONE_THREAD}".strip()
        os.environ[THREADS] = "1"
    require("jax", "nn", "a network")
    keras = require("keras", "nn", "a network")
    if keras.backend.backend() != "jax":
        raise RequestError(f"Keras was imported on {keras.backend.backend()}; set KERAS_BACKEND=jax before")
    return keras


def load_network(file: Path) -> NetworkClassifier:
    """Read a network back; nothing but layers of Keras' own that our networks use is made of it.

    Raises
    ------
    DamageError
        If the file is no network, or one of other parts.
    """
    with zipfile.ZipFile(file) as archive:
        strange = sorted(set(_parts(json.loads(archive.read(CONFIG)))) - TRUSTED)
    if strange:
        raise DamageError(f"{file}: holds {', '.join(strange)}, which none of our networks is made of; not loaded")
    keras = load_keras()
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras and HDF5 raise whatever they meet
        # Keras shows every layer around what it stumbled over; that itself is in the last line.
        reason = str(error).strip().rpartition("\n")[2].removeprefix("Exception encountered: ")
        raise DamageError(f"{file}: cannot be read as a network by Keras {keras.__version__} ({reason})") from error
    loaded = NetworkClassifier(_cannot_build, {"batch_size": 32})
    loaded.model_, loaded.classes_ = model, np.arange(model.output_shape[-1])
    return loaded


def _cannot_build(*_: Any) -> Any:
    raise RequestError("a network that was loaded cannot be trained again; train a new one")


def _parts(node: Any) -> Iterator[str]:
    """Name all classes of a description, those of other modules than Keras' by module and class."""
    if isinstance(node, dict):
        if "class_name" in node:
            module = str(node.get("module") or "keras")
            registered = node.get("registered_name") not in (None, node["class_name"])
            plain = module.partition(".")[0] == "keras" and not registered
            yield str(node["class_name"]) if plain else f"{module}.{node['class_name']}"
        for value in node.values():
            yield from _parts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _parts(value)


def _hold_out(
    y: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    recordings = np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    parts = min(INNER_PARTS, len(np.unique(recordings)), int(np.bincount(y).max()))
    if parts > 1:
        learn, check = grouped_parts(y, groups, parts, seed)[0]
        # What would be left without a clip to learn from is learnt from, whole recordings of it.
        lacking = recordings[check[~np.isin(y[check], y[learn])]]
        back = np.isin(recordings[check], lacking)
        learn, check = np.sort(np.concatenate([learn, check[back]])), check[~back]
        if len(check):
            return learn, check
    raise RequestError(
        "stopping early holds out a recording of a class of which another is learnt from, and every class has clips "
        "of one recording only; add recordings, or learn for all epochs with --set patience=0"
    )


def _inputs(rows: Rows, clips: NDArray[np.int64]) -> Any:
    return rows.batch(clips) if isinstance(rows, ClipFrames) else rows[clips]


def _in_order(
    rows: Rows, targets: NDArray[np.float32], clips: NDArray[np.int64], size: int
) -> Iterator[tuple[Any, NDArray[np.float32]]]:
    while True:
        for start in range(0, len(clips), size):
            chosen = clips[start : start + size]
            yield _inputs(rows, chosen), targets[chosen]


def _ask(model: Any, rows: Rows, size: int) -> NDArray[np.float32]:
    said, size = [], min(size, len(rows))
    for start in range(0, len(rows), size):
        here = np.arange(start, min(start + size, len(rows)))
        # Batches of one size, or the last one would be compiled anew.
        said.append(np.asarray(model.predict_on_batch(_inputs(rows, np.resize(here, size))))[: len(here)])
    return np.concatenate(said)
