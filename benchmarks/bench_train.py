"""Ten folds of XGBoost on 8,732 x 40 features: `us8k train`'s evaluation against a hand-written loop, interleaved.

    python benchmarks/bench_train.py --rounds 5
    python benchmarks/bench_train.py --store features/

Labels, folds and recordings are UrbanSound8K's own; the features are drawn, about as hard as the real ones. All sides
get the same parameters and folds. The loop is what one would write: a fit per fold, each with all cores. Seconds of
the processor are printed beside those of the clock, because neighbours on the machine do not change them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from joblib import cpu_count
from xgboost import XGBClassifier

from us8k_batch.training.data import load_dataset
from us8k_batch.training.evaluate import Task, evaluate
from us8k_batch.training.models import get_model
from us8k_batch.training.splits import Split, Splits


def clips():
    """Return features, labels, folds and recordings of 8,732 clips."""
    with resources.files("us8k_batch.catalog").joinpath("urbansound8k.parquet").open("rb") as file:
        paths = pq.read_table(file)["path"].to_pylist()
    names = [Path(path).stem.split("-") for path in paths]
    recordings = np.unique([int(name[0]) for name in names], return_inverse=True)[1]
    y = np.array([int(name[1]) for name in names])
    folds = np.array([int(Path(path).parent.name.removeprefix("fold")) for path in paths])
    rng = np.random.default_rng(0)
    of_class, of_recording = rng.normal(size=(10, 40)), rng.normal(size=(recordings.max() + 1, 40))
    features = 0.45 * of_class[y] + of_recording[recordings] + 0.7 * rng.normal(size=(len(y), 40))
    return features.astype(np.float32), y, folds, recordings


def ours(features, y, groups, splits, jobs):
    """Evaluate as `us8k train` does, models written."""
    spec = get_model("xgboost")
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            spec=spec, parameters=spec.parameters, seed=0, features=features, y=y, groups=groups, models=Path(folder)
        )
        return evaluate(task, splits, [str(i) for i in range(10)], jobs).scores.accuracy_mean


def loop(features, y, splits, threads):
    """Fit and score fold by fold, models written."""
    accuracies = []
    parameters = dict(get_model("xgboost").parameters)
    with tempfile.TemporaryDirectory() as folder:
        for split in splits.parts:
            model = XGBClassifier(**parameters, tree_method="hist", n_jobs=threads, random_state=0)
            model.fit(features[split.train], y[split.train])
            accuracies.append((model.predict_proba(features[split.test]).argmax(axis=1) == y[split.test]).mean())
            model.save_model(Path(folder) / f"{split.name}.ubj")
    return float(np.mean(accuracies))


def timed(function, *arguments):
    """Return seconds by the clock, seconds of the processor, and the result."""
    began, used = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return time.perf_counter() - began, time.process_time() - used, result


def bench_folds(rounds: int) -> None:
    """Print seconds of both sides, round by round."""
    features, y, folds, groups = clips()
    parts = tuple(Split(str(f), np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in range(1, 11))
    splits = Splits("folds", parts, np.zeros(len(y), np.bool_))
    cores = cpu_count()
    sides = {
        f"us8k, {cores} folds at a time": lambda: ours(features, y, groups, splits, cores),
        f"loop, {cores} threads a fit": lambda: loop(features, y, splits, cores),
        "loop, 1 thread a fit": lambda: loop(features, y, splits, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        for name, side in sides.items():
            took, used, accuracy = timed(side)
            seconds[name].append(took)
            print(
                f"round {number}: {name:28s} {took:6.2f} s ({used:.2f} s of CPU), accuracy {accuracy:.4f}", flush=True
            )
    for name, took in seconds.items():
        print(f"median: {name:28s} {statistics.median(took):6.2f} s (min {min(took):.2f})")


def bench_store(store: str) -> None:
    """Print how long it takes to load a store's pooled rows, and to stream all its frames."""
    load_dataset(store)
    took, _, data = timed(load_dataset, store)
    print(f"load: {len(data)} clips x {data.vectors.shape[1]} in {1000 * took:.0f} ms")
    took, _, size = timed(lambda: sum(batch.nbytes for batch in data.frames.batches(256)))
    print(f"stream: {size / 1e6:.0f} MB of frames in {took:.2f} s, {size / 1e6 / took:.0f} MB/s, digests checked")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", help="time loading and streaming this store instead")
    given = parser.parse_args()
    if given.store:
        bench_store(given.store)
    else:
        bench_folds(given.rounds)
