"""Class means and the map, against plain numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_stores import CONFIG, make_features_store
from stores import TinyRun

from us8k_batch.config import FeatureConfig
from us8k_batch.reporting import projection
from us8k_batch.reporting.projection import class_means, clip_map
from us8k_batch.store.reader import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Make a store of three classes that can be told apart."""
    return open_store(str(make_features_store(tmp_path_factory.mktemp("store") / "s")))


def test_means_are_those_of_each_class(store: Store) -> None:
    """The same as pandas gives, and the distance from all in standard deviations."""
    found = class_means(store)
    assert found is not None
    names = [f"mfcc_mean_{i:02d}" for i in range(CONFIG.n_mfcc)]
    wanted = store.pooled.astype(dict.fromkeys(names, "float64")).groupby("label")[names].mean()
    assert found.labels == list(wanted.index)
    np.testing.assert_allclose(found.means, wanted.to_numpy(), rtol=1e-6)
    values = store.pooled[names].to_numpy(np.float64)
    np.testing.assert_allclose(found.deviations, (wanted.to_numpy() - values.mean(0)) / values.std(0), rtol=1e-5)


def test_the_map_keeps_as_much_variance_as_can_be(store: Store) -> None:
    """Its axes are the first two singular vectors of the standardised vectors."""
    found = clip_map(store)
    assert found is not None
    vectors = store.vectors().astype(np.float64)
    standard = (vectors - vectors.mean(0)) / vectors.std(0)
    left, sizes, _ = np.linalg.svd(standard, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.at), np.abs(left[:, :2] * sizes[:2]), atol=1e-6)
    np.testing.assert_allclose(found.shares, (sizes**2 / (sizes**2).sum())[:2], rtol=1e-6)


def test_the_map_is_the_same_every_time(store: Store) -> None:
    """Signs are not left to chance."""
    one, other = clip_map(store), clip_map(store)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.at, other.at)


def test_a_large_store_is_sampled(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more points than fit, of each class."""
    monkeypatch.setattr(projection, "POINTS", 9)
    found = clip_map(store)
    assert found is not None
    assert len(found.places) == len(found.at) == 9
    assert set(store.pooled["label"].iloc[found.places]) == {"class-0", "class-1", "class-2"}


def test_where_nothing_can_be_shown_nothing_is(tmp_path: Path) -> None:
    """A store without means has no class means; one without clips no map either."""
    config = FeatureConfig(**{**CONFIG.to_dict(), "statistics": ("std",)})
    assert class_means(open_store(str(make_features_store(tmp_path / "std", config=config)))) is None
    TinyRun(store=str(tmp_path / "empty"), clips=[]).run()
    empty = open_store(str(tmp_path / "empty"))
    assert (class_means(empty), clip_map(empty)) == (None, None)
