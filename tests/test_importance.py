"""What features are worth: measured on test clips, after the fit, and the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from us8k_batch.training.frames import ClipFrames, frames_of
from us8k_batch.training.importance import Layout, importances, summarise


class Reads:
    """A model that looks at one column, or one coefficient's mean, and says what it learnt of it."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.asked = 0

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Say class 1 where the column is positive."""
        self.asked += len(X)
        if isinstance(X, ClipFrames):
            means = [X.values[p, self.place, : X.n_frames[p]].mean() for p in X.places]
        else:
            means = X[:, self.place]
        return np.eye(2)[(np.array(means) > 0).astype(int)]


def clips(n: int = 80, columns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Make clips of two classes that every column tells."""
    y = np.arange(n) % 2
    rows = np.random.default_rng(0).uniform(0.5, 1, (n, columns)) * (2 * y[:, np.newaxis] - 1)
    return rows.astype(np.float32), y


def test_what_a_model_looks_at_is_worth_something_and_the_rest_nothing() -> None:
    """Column 4 is coefficient 1 of the second statistic: these two lose half the accuracy, all others none."""
    rows, y = clips()
    layout = Layout(statistics=("mean", "std"), n_mfcc=3)
    found = importances(Reads(4), rows, y, layout, [0])
    assert set(found) == {"coefficient", "statistic"}
    assert 0.35 < found["coefficient"]["1"] < 0.65
    assert 0.35 < found["statistic"]["std"] < 0.65
    assert [found["coefficient"]["0"], found["coefficient"]["2"], found["statistic"]["mean"]] == [0.0, 0.0, 0.0]


def test_frames_are_exchanged_by_coefficient() -> None:
    """A clip keeps its length; what a shorter one gives begins again, and what is past a clip's end stays out."""
    _, y = clips(20)
    n_frames = np.random.default_rng(1).integers(2, 9, 20)
    values = np.full((20, 3, 9), np.nan, np.float32)
    for i, n in enumerate(n_frames):
        values[i, :, :n] = 2 * y[i] - 1
    found = importances(Reads(2), frames_of(values, n_frames), y, Layout(statistics=(), n_mfcc=3), [0])
    assert set(found) == {"coefficient"}
    assert found["coefficient"]["2"] > 0.3
    assert (found["coefficient"]["0"], found["coefficient"]["1"]) == (0.0, 0.0)


def test_the_same_seed_gives_the_same_and_clips_stay_as_they_are() -> None:
    """Nothing of what it is given is written to; another seed exchanges other clips."""
    rows, y = clips()
    rows.flags.writeable = False
    layout = Layout(statistics=("mean", "std"), n_mfcc=3)
    first, again, other = (importances(Reads(4), rows, y, layout, seed) for seed in ([1], [1], [2]))
    assert first == again != other


def test_many_clips_cost_no_more_than_few() -> None:
    """A group of features is asked of a bounded number of clips, whatever the size of the fold."""
    asked = []
    for n in (20, 3000):
        rows, y = clips(n)
        model = Reads(0)
        importances(model, rows, y, Layout(statistics=("mean",), n_mfcc=6), [0])
        asked.append(model.asked)
    assert asked[1] <= 7 * 250 >= asked[0]


def test_it_is_told_by_group_and_split() -> None:
    """run.json has every split's own number."""
    split = {"coefficient": {"0": 0.25}}
    assert summarise({"1": split, "2": split}) == {"coefficient": {"0": {"1": 0.25, "2": 0.25}}}
