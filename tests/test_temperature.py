"""Probabilities from scores, without a look at what is tested."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from us8k_batch.training.temperature import TemperatureScaled


def clips(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw overlapping classes; five clips to a recording."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // 5
    y = groups % 3
    return (rng.normal(size=(n, 3)) + np.eye(3)[y]).astype(np.float32), y, groups


class Memory(ClassifierMixin, BaseEstimator):
    """A classifier that knows the clips it has learnt, and writes down whom it met."""

    met: list[tuple[set[int], set[int]]] = []  # noqa: RUF012  # scikit-learn clones, so the class remembers

    def fit(self, X: np.ndarray, y: np.ndarray) -> Memory:  # noqa: N803
        """Remember the recordings that are learnt from."""
        self.classes_, self.learnt_ = np.unique(y), set(X[:, 0].astype(int))
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """Write down which recordings were learnt and which are asked about."""
        Memory.met.append((self.learnt_, set(X[:, 0].astype(int))))
        return np.zeros((len(X), len(self.classes_)))


def test_scores_for_the_temperature_come_from_recordings_that_were_not_learnt() -> None:
    """In each inner part no recording is on both sides, and together they ask about every clip."""
    _, y, groups = clips(60)
    Memory.met.clear()
    TemperatureScaled(Memory()).fit(groups[:, None].astype(np.float32), y, groups)
    assert len(Memory.met) == 3
    assert all(not learnt & asked for learnt, asked in Memory.met)
    assert set().union(*(asked for _, asked in Memory.met)) == set(groups)


def test_the_most_probable_class_is_the_classifiers_own() -> None:
    """One temperature for all classes leaves the order of the scores alone."""
    features, y, groups = clips()
    scaled = TemperatureScaled(SVC(break_ties=True)).fit(features, y, groups)
    alone = SVC(break_ties=True).fit(features, y)
    assert np.array_equal(scaled.predict(features), alone.predict(features))
    assert np.array_equal(scaled.predict_proba(features).argmax(axis=1), alone.decision_function(features).argmax(1))


@pytest.mark.parametrize("factor", [0.05, 20.0])
def test_exaggerated_scores_become_honest(factor: float) -> None:
    """Scores that are far too sure or too timid are brought back to what the clips say."""
    features, y, groups = clips(600)
    other, right, _ = clips(600, seed=1)

    class Loud(LogisticRegression):
        def decision_function(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
            return factor * super().decision_function(X)

    scaled = TemperatureScaled(Loud()).fit(features, y, groups)
    confidence = scaled.predict_proba(other).max(axis=1).mean()
    accuracy = (scaled.predict(other) == right).mean()
    assert confidence == pytest.approx(accuracy, abs=0.06)


def test_timid_votes_become_honest() -> None:
    """Of a classifier without scores the probabilities are sharpened, and its answers stay what they are."""
    features, y, groups = clips(600)
    other, right, _ = clips(600, seed=1)
    forest = RandomForestClassifier(50, random_state=0)
    timid, scaled = forest.fit(features, y), TemperatureScaled(forest).fit(features, y, groups)
    assert np.array_equal(scaled.predict(other), timid.predict(other))
    assert _loss(scaled.predict_proba(other), right) < _loss(timid.predict_proba(other), right)


def _loss(probabilities: np.ndarray, right: np.ndarray) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(right)), right], 1e-15)).mean())


def test_two_classes_work_too() -> None:
    """A single score per clip becomes two probabilities."""
    features, y, groups = clips()
    two = y < 2
    scaled = TemperatureScaled(SVC()).fit(features[two], y[two], groups[two])
    assert scaled.predict_proba(features).shape == (300, 2)


@pytest.mark.parametrize("recordings", [1, 2, 3])
@pytest.mark.parametrize("classifier", [SVC(), RandomForestClassifier(10, random_state=0)])
def test_a_class_of_few_recordings_is_learnt_and_left_out_of_calibration_where_it_must_be(
    recordings: int, classifier: BaseEstimator
) -> None:
    """Its probabilities are numbers; with one recording no inner part can score it, and it is noted."""
    features, y, groups = clips(60)
    groups = np.where(y == 2, 1000 + np.arange(60) % recordings, groups)
    scaled = TemperatureScaled(classifier).fit(features, y, groups)
    said = scaled.predict_proba(features)
    assert said.shape == (60, 3)
    np.testing.assert_allclose(said.sum(axis=1), 1)
    assert 0.01 < scaled.temperature_ < 100
    assert scaled.uncalibrated_.tolist() == ([2] if recordings == 1 else [])


@pytest.mark.parametrize("one_each", [True, False])
def test_where_nothing_can_be_held_out_scores_are_taken_as_they_are(one_each: bool) -> None:
    """One recording for each class, or for all clips: the temperature is 1, and no class was calibrated."""
    features, y, _ = clips(60)
    scaled = TemperatureScaled(SVC()).fit(features, y, y if one_each else np.zeros(60, np.int64))
    assert scaled.temperature_ == 1
    assert scaled.uncalibrated_.tolist() == [0, 1, 2]
    assert np.isfinite(scaled.predict_proba(features)).all()
