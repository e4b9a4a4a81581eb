"""Classify new audio with the fold models of a run, on features made exactly as the run's were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.audio.opening import extension_of
from us8k_batch.catalog.source import open_source
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError, ConfigError, DamageError, Failure, StorageError
from us8k_batch.features.decoder import Decoder
from us8k_batch.features.engine import Features, name_of, numeric_versions
from us8k_batch.store.layout import new_info
from us8k_batch.training.conform import ANY_NAME
from us8k_batch.training.frames import frames_of
from us8k_batch.training.inputs import FRAMES
from us8k_batch.training.models import Model
from us8k_batch.training.rundir import Run, load_run
from us8k_batch.training.statistics import column_names, describe

SHAPE: Mapping[str, Any] = {
    "protocol": str,
    "classes": [str],
    "features": {"name": str, "statistics": [str]},
    "store": {"config": {ANY_NAME: (str, float, bool, None, [str])}, "versions": [{"engine": str}]},
}
"""What is counted on of a run's document."""
SOURCE_BYTES = 1 << 31
"""Largest source that is read into memory, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the models of a run say of one clip."""

    path: str
    """The clip, as it was given."""
    label: str
    """Most probable class, by the mean over the models."""
    probability: float
    """Its mean probability."""
    margin: float
    """How far ahead it is of the second class, as a difference of probabilities."""
    entropy: float
    """Entropy of the mean probabilities, as a share of the largest possible: 0 is sure, 1 is no idea."""
    agreement: float
    """Share of the models that would say the same label alone."""
    probabilities: Mapping[str, float]
    """Mean probability by class."""
    models: Mapping[str, str]
    """What each model would say alone, by the split that it was tested on."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What became of all clips that were given."""

    run: str
    predictions: tuple[Prediction, ...]
    failures: Mapping[str, Failure]
    """By path: why a clip could not be classified."""
    warnings: tuple[str, ...]
    """What is otherwise here than where the run was made."""

    @property
    def exit_status(self) -> int:
        """0 if every clip was classified, otherwise 3."""
        return 3 if self.failures else 0

    def to_dict(self) -> dict[str, Any]:
        """Return what ``us8k predict --json`` prints."""
        return {
            "run": self.run,
            "predictions": [asdict(one) for one in self.predictions],
            "failures": [{"path": path, **asdict(failure)} for path, failure in self.failures.items()],
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Return one line for each clip."""
        lines = [
            f"{one.path}: {one.label} {100 * one.probability:.1f} % ({100 * one.margin:.1f} ahead of the next, "
            f"entropy {one.entropy:.2f}, {round(one.agreement * len(one.models))} of {len(one.models)} models agree)"
            for one in self.predictions
        ]
        lines += [f"{path}: {why.stage}/{why.error}: {why.detail}" for path, why in self.failures.items()]
        n_models = len(self.predictions[0].models) if self.predictions else 0
        if n_models > 1:
            lines.append(
                f"each probability is the mean over {n_models} models, one for each test set of the run; their "
                "scores there are of one model alone"
            )
        return lines


def predict(run: str, audio: Sequence[str]) -> Predictions:
    """Classify clips.

    Parameters
    ----------
    run : str
        The run directory.
    audio : sequence of str
        Local paths of audio files.

    Returns
    -------
    Predictions
        A clip that cannot be read or decoded is a failure; the others are not affected.

    Raises
    ------
    RequestError
        If `run` is no run directory.
    DamageError
        If the run is not what was written.
    """
    loaded = load_run(run)
    loaded.require(SHAPE)
    told = loaded.document["store"]
    config = _config(loaded)
    engine, warnings = _engine(config, told["versions"])
    models = dict(zip(_splits(loaded), loaded.models(), strict=True))
    classes = loaded.document["classes"]
    predictions: list[Prediction] = []
    failures: dict[str, Failure] = {}
    with Decoder(config, engine) as decoder:
        for path in dict.fromkeys(audio):
            found = _extract(decoder, path)
            if isinstance(found, Failure):
                failures[path] = found
            else:
                predictions.append(judge(path, _said(loaded, models, model_input(loaded, config, found)), classes))
    return Predictions(run, tuple(predictions), failures, (*loaded.warnings, *warnings))


def _config(run: Run) -> FeatureConfig:
    try:
        config = FeatureConfig.from_dict(run.document["store"]["config"])
        new_info(config)  # refuses what no store has room for
    except ConfigError as error:
        raise DamageError(f"{run.path}: its features cannot be computed: {error}") from error
    return config


def _said(run: Run, models: Mapping[str, Model], row: Any) -> dict[str, NDArray[np.float32]]:
    """Ask models that may be anybody's: whatever they answer is an answer, or an error with the run's name."""
    try:
        said = ask(models, row)
    except Exception as error:  # each library has its own errors for a model that does not fit
        reason = str(error).partition("\n")[0]
        raise DamageError(f"{run.path}: its models cannot be asked ({type(error).__name__}: {reason})") from error
    expected = (len(run.document["classes"]),)
    if any(one.shape != expected or not np.isfinite(one).all() for one in said.values()):
        raise DamageError(f"{run.path}: a model's answer is not one probability for each of its classes")
    return said


def model_input(run: Run, config: FeatureConfig, features: Features) -> Any:
    """Make of one clip's features what the models of a run were given of each clip, bit by bit."""
    told = run.document["features"]
    n_frames = np.array([features.n_frames])
    # As in the store: how far a clip is padded decides in which order its values are summed.
    padded = np.full((1, config.n_mfcc, config.frames), np.nan, dtype=np.float32)
    padded[0, :, : features.n_frames] = features.mfcc
    if told["name"] == FRAMES:
        return frames_of(padded, n_frames)
    statistics, published = tuple(told["statistics"]), config.pooled_names
    if set(statistics) <= set(config.statistics):
        columns = column_names(statistics, config.n_mfcc)
        return np.ascontiguousarray(features.pooled[np.newaxis, [published.index(name) for name in columns]])
    return describe(padded, n_frames, statistics)


def ask(models: Mapping[str, Model], row: Any) -> dict[str, NDArray[np.float32]]:
    """Ask every model about one clip; returns the probabilities of the classes by split."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return {name: np.asarray(model.predict_proba(row), np.float32)[0] for name, model in models.items()}


def judge(path: str, said: Mapping[str, NDArray[np.float32]], classes: Sequence[str]) -> Prediction:
    """Average what the models say of one clip, and say how sure that is.

    Parameters
    ----------
    path : str
        The clip.
    said : mapping of str to float32 array, shape (n_classes,)
        Probabilities by model.
    classes : sequence of str
        Labels by code; two or more.
    """
    mean = np.mean([probabilities.astype(np.float64) for probabilities in said.values()], axis=0)
    second, first = np.sort(mean)[-2:]
    positive = mean[mean > 0]
    alone = {name: int(probabilities.argmax()) for name, probabilities in said.items()}
    best = int(mean.argmax())
    return Prediction(
        path=path,
        label=classes[best],
        probability=float(first),
        margin=float(first - second),
        entropy=float(max(0.0, -(positive * np.log(positive)).sum()) / math.log(len(classes))),
        agreement=sum(code == best for code in alone.values()) / len(alone),
        probabilities={name: float(value) for name, value in zip(classes, mean, strict=True)},
        models={name: classes[code] for name, code in alone.items()},
    )


def _extract(decoder: Decoder, path: str) -> Features | Failure:
    file = Path(path)
    try:
        # Its own folder is the root: a link that leads elsewhere is what the user pointed at, so it is followed.
        real = file.resolve()
        data = open_source(str(real.parent)).read(real.name, SOURCE_BYTES)
    except ClipError as error:
        return Failure(error.stage, error.error, str(error))
    except (StorageError, OSError, RuntimeError) as error:
        return Failure("storage", "unreadable", str(error))
    return decoder.extract(data, extension_of(path))


def _splits(run: Run) -> list[str]:
    document = run.document
    return [one["split"] for one in document["models"] if one["protocol"] == document["protocol"]]


def _engine(config: FeatureConfig, versions: Sequence[Mapping[str, str]]) -> tuple[str, list[str]]:
    """Return the engine that made the run's features, and what is otherwise here than there.

    Raises
    ------
    DamageError
        If this program has no such engine.
    """
    newest = versions[-1]
    try:
        engine = name_of(newest["engine"])
        here = numeric_versions(config, engine)
    except ConfigError as error:
        raise DamageError(f"the run's features are of engine {newest['engine']!r}: {error}") from error
    return engine, [
        f"features were computed with {name} {version}, here is {here.get(name, 'none')}: they may differ a little"
        for name, version in newest.items()
        if here.get(name) != version
    ]
