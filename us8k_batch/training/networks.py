"""The networks by name: the tutorial's, exactly, and a small convolutional one that looks at every frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.training.epochs import Told
from us8k_batch.training.frames import ClipFrames
from us8k_batch.training.models import Model, ModelSpec, Parameters

MIX = 0.3
"""Both parameters of the beta distribution that shares are drawn from: most mixtures are nearly one clip."""
FAINTEST = 1e-6
"""Least share of a clip in a mixture; float32 tells one minus it from one."""


def article_network(keras: Any, rows: Any, n_classes: int, seed: int, parameters: Parameters) -> Any:
    """Build the tutorial's network: Dense-ReLU-Dropout twice, then softmax; Adam as it comes; nothing is scaled.

    Parameters
    ----------
    keras : module
        Keras, on JAX.
    rows : float32 array, shape (n_clips, n_features)
        What it will learn from; only its width is looked at.
    n_classes : int
        Number of classes.
    seed : int
        What its weights and dropout are drawn from.
    parameters : mapping
        ``units`` and ``dropout``.

    Returns
    -------
    keras.Model
        Compiled.
    """
    layers, seeds = keras.layers, iter(range(1000 * seed, 1000 * seed + 1000))
    value = inputs = keras.Input((rows.shape[1],), name="features")
    for i in (1, 2):
        start = keras.initializers.GlorotUniform(next(seeds))
        value = layers.Dense(parameters["units"], kernel_initializer=start, name=f"dense_{i}")(value)
        value = layers.ReLU(name=f"relu_{i}")(value)
        value = layers.Dropout(parameters["dropout"], seed=next(seeds), name=f"dropout_{i}")(value)
    start = keras.initializers.GlorotUniform(next(seeds))
    value = layers.Dense(n_classes, activation="softmax", kernel_initializer=start, name="classes")(value)
    model = keras.Model(inputs, value, name="article_mlp")
    model.compile(keras.optimizers.Adam(), "categorical_crossentropy", metrics=["accuracy"])
    return model


def convolutional_network(keras: Any, rows: ClipFrames, n_classes: int, seed: int, parameters: Parameters) -> Any:
    """Build a small network of convolutions over time, after SB-CNN (Salamon & Bello 2017), for MFCC frames.

    Each coefficient is a channel: neighbouring coefficients are no neighbouring frequencies. What stands where
    a clip has no frame is set to 0 before every convolution and left out of every mean, so that it does not
    matter how far a clip is padded. Coefficients are standardised by the frames of `rows` alone.

    Parameters
    ----------
    keras : module
        Keras, on JAX.
    rows : ClipFrames
        What it will learn from.
    n_classes : int
        Number of classes.
    seed : int
        What its weights and dropout are drawn from.
    parameters : mapping
        ``filters``, ``kernel``, ``dropout``, ``learning_rate``, ``weight_decay`` and ``steps`` of the schedule.

    Returns
    -------
    keras.Model
        Compiled; takes frames of shape (n, any, n_mfcc) and their mask, as `ClipFrames.batch` gives them.
    """
    layers, seeds = keras.layers, iter(range(1000 * seed, 1000 * seed + 1000))
    frames = keras.Input((None, rows.n_mfcc), name="frames")
    mask = keras.Input((None,), name="mask")
    there = layers.Reshape((-1, 1), name="there")(mask)
    mean, variance = rows.moments()
    value = layers.Normalization(mean=mean.tolist(), variance=variance.tolist(), name="standardise")(frames)
    value = layers.Multiply(name="masked_0")([value, there])
    for i, filters in enumerate(parameters["filters"], 1):
        if i > 1:
            # Of pairs and padded at the end, so that more padding moves nothing.
            value = layers.MaxPooling1D(2, padding="same", name=f"pool_{i}")(value)
            there = layers.MaxPooling1D(2, padding="same", name=f"there_{i}")(there)
        value = layers.Conv1D(
            filters,
            parameters["kernel"],
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(next(seeds)),
            name=f"convolution_{i}",
        )(value)
        flat = layers.Reshape((-1,), name=f"mask_{i}")(there)
        value = layers.BatchNormalization(momentum=0.9, name=f"normal_{i}")(value, mask=flat)
        value = layers.ReLU(name=f"relu_{i}")(value)
        value = layers.Multiply(name=f"masked_{i}")([value, there])
    value = layers.GlobalAveragePooling1D(name="over_time")(value, mask=flat)
    value = layers.Dropout(parameters["dropout"], seed=next(seeds), name="dropout")(value)
    start = keras.initializers.GlorotUniform(next(seeds))
    value = layers.Dense(n_classes, activation="softmax", kernel_initializer=start, name="classes")(value)
    model = keras.Model([frames, mask], value, name="cnn")
    rate = keras.optimizers.schedules.CosineDecay(parameters["learning_rate"], parameters["steps"])
    optimizer = keras.optimizers.AdamW(rate, weight_decay=parameters["weight_decay"])
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


def shifted_and_mixed(
    inputs: tuple[NDArray[np.float32], NDArray[np.float32]], targets: NDArray[np.float32], rng: np.random.Generator
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]:
    """Turn each clip of a batch in time, and mix it with another one and its label (mixup, Zhang et al. 2018).

    Parameters
    ----------
    inputs : (frames, mask)
        As `ClipFrames.batch` gives them.
    targets : float32 array, shape (n, n_classes)
        One-hot.
    rng : numpy.random.Generator
        What is drawn from.

    Returns
    -------
    (frames, mask), targets
        Of the same shapes; a mixture has frames where either clip has.
    """
    frames, mask = inputs
    turned = np.empty_like(frames)
    for i, length in enumerate(mask.sum(axis=1, dtype=np.int64)):
        turned[i, :length] = np.roll(frames[i, :length], rng.integers(length), axis=0)
        turned[i, length:] = 0
    other = rng.permutation(len(targets))
    # Neither share is ever nothing: a frame that only the fainter clip has would be divided by zero.
    share = rng.beta(MIX, MIX, size=len(targets)).clip(FAINTEST, 1 - FAINTEST).astype(np.float32)
    narrow = share[:, np.newaxis]
    mine, others = (narrow * mask)[..., np.newaxis], ((1 - narrow) * mask[other])[..., np.newaxis]
    # Where one clip has ended the other goes on alone: padding is no sound to mix with.
    mixed = (mine * turned + others * turned[other]) / np.maximum(mine + others, np.finfo(np.float32).tiny)
    wanted = narrow * targets + (1 - narrow) * targets[other]
    return (mixed.astype(np.float32), np.maximum(mask, mask[other])), wanted.astype(np.float32)


def _article_mlp(parameters: Parameters, seed: int) -> Model:
    from us8k_batch.training.neural import NetworkClassifier

    return NetworkClassifier(article_network, parameters, seed)


def _cnn(parameters: Parameters, seed: int) -> Model:
    from us8k_batch.training.neural import NetworkClassifier

    return NetworkClassifier(convolutional_network, parameters, seed, shifted_and_mixed)


def _tell_epochs(model: Any, told: Told) -> None:
    model.told = told


_ARTICLE: dict[str, Any] = {"units": 256, "dropout": 0.5, "epochs": 100, "batch_size": 32, "patience": 0}
_CNN: dict[str, Any] = {
    "filters": [64, 96, 128],
    "kernel": 5,
    "dropout": 0.5,
    "learning_rate": 0.002,
    "weight_decay": 0.001,
    "epochs": 40,
    "batch_size": 32,
    "patience": 0,
}
_NEEDS = ("sklearn", "jax", "keras")

MODELS = {
    "article-mlp": ModelSpec(
        name="article-mlp",
        build=_article_mlp,
        parameters=_ARTICLE,
        extra="nn",
        modules=_NEEDS,
        features="mean",
        uses_groups=True,
        watches=True,
        listen=_tell_epochs,
        workers="processes",
    ),
    "cnn": ModelSpec(
        name="cnn",
        build=_cnn,
        parameters=_CNN,
        extra="nn",
        modules=_NEEDS,
        takes="frames",
        uses_groups=True,
        watches=True,
        listen=_tell_epochs,
        pace="learning_rate",
    ),
}
