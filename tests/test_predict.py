"""New audio through a run's models: the features are the store's, bit by bit, and doubt is told."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from audio_files import write_audio
from click.testing import CliRunner
from datasets import make_manifest, make_urbansound8k

from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.cli import main
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import DamageError, Failure
from us8k_batch.features.decoder import Decoder
from us8k_batch.features.engine import Features, make_engine, numeric_versions
from us8k_batch.objects import open_objects
from us8k_batch.planning.snapshot import make_publication
from us8k_batch.predict import ask, judge, model_input, predict
from us8k_batch.store.commits import ClipResult, commit_shard
from us8k_batch.store.layout import create_info, new_info
from us8k_batch.store.plans import create_plan
from us8k_batch.store.publish import publish
from us8k_batch.store.state import load_state
from us8k_batch.training import rundir
from us8k_batch.training.progress import Lines
from us8k_batch.training.rundir import load_run
from us8k_batch.training.train import TrainOptions, train

CONFIG = FeatureConfig(sample_rate=8000, n_fft=512, hop_length=256, n_mels=32, n_mfcc=8, max_seconds=1.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make sixty clips."""
    return make_urbansound8k(tmp_path_factory.mktemp("predict") / "dataset", clips=60, seconds=0.5)


@pytest.fixture(scope="module")
def store(dataset: Path) -> str:
    """Extract them."""
    return extract(dataset, dataset.parent / "store")


def extract(dataset: Path, store: Path) -> str:
    """Extract a dataset without a cluster, padded in the store to a whole second."""
    catalog, objects = open_catalog(str(dataset)), open_objects(str(store))
    info = create_info(objects, new_info(CONFIG, 64))
    assert create_plan(objects, info, None, catalog.clips, numeric_versions(CONFIG, "auto"))
    engine, results = make_engine(CONFIG, "auto"), []
    for row, (clip, path) in enumerate(
        zip(catalog.clips["clip_id"].to_pylist(), catalog.clips["path"].to_pylist(), strict=True)
    ):
        made = engine((Path(catalog.root) / path).read_bytes())
        results.append(ClipResult(row, clip, "0" * 64, made.mfcc, made.pooled, made.duration))
    commit_shard(objects, info, 0, results)
    state = load_state(objects, info)
    publication = make_publication(catalog.clips, state.index)
    publish(objects, info, state, publication.table, publication.pending, publication.metadata_columns)
    return str(store)


@pytest.fixture(scope="module")
def run(store: str) -> Path:
    """Train once; the folds of so few clips lack classes, so the split is by recording."""
    return make_run(store, "mean+std", "run")


def make_run(store: str, features: str, name: str) -> Path:
    """Train a fast model."""
    out = Path(store).parent / name
    options = TrainOptions(
        store=store, protocol="folds", features=features, out=str(out), parameters={"n_estimators": 4}, jobs=1
    )
    return train(options, Lines(lambda _: None)).path


def audio_of(dataset: Path, clip_id: str) -> Path:
    """Find a clip's file."""
    return next(dataset.glob(f"audio/*/{clip_id}"))


@pytest.mark.parametrize("features", ["mean", "salamon14", "all"])
def test_a_clips_own_audio_gives_its_out_of_fold_probabilities(dataset: Path, store: str, features: str) -> None:
    """The model that was tested on a clip says of its audio what the run says it said, to the last bit."""
    run = load_run(str(make_run(store, features, f"run-{features}")))
    kept = run.predictions().set_index("clip_id")
    columns = [name for name in kept.columns if name.startswith("p_")]
    splits = [one["split"] for one in run.document["models"]]
    models = dict(zip(splits, run.models(), strict=True))
    with Decoder(CONFIG, "auto") as decoder:
        for clip_id, row in kept.iloc[::10].iterrows():
            found = decoder.extract(audio_of(dataset, str(clip_id)).read_bytes())
            assert isinstance(found, Features)
            said = ask(models, model_input(run, CONFIG, found))[row["split"]]
            np.testing.assert_array_equal(said, row[columns].to_numpy(np.float32))


@pytest.mark.skipif(find_spec("keras") is None or find_spec("jax") is None, reason="the nn extra is not installed")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_networks_hear_the_frames_of_new_audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cnn that another Keras made says of a clip's audio what it said of its frames, and the version is told."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    manifest = make_manifest(tmp_path / "dataset", clips=8, folds=2, formats=("WAV",))
    store, here = extract(manifest, tmp_path / "store"), rundir.versions()
    with monkeypatch.context() as patch:
        patch.setattr(rundir, "versions", lambda: {**here, "keras": "3.0.0"})
        small = {"filters": [4, 4], "kernel": 3, "epochs": 1}
        options = TrainOptions(store=store, model="cnn", out=str(tmp_path / "run"), parameters=small, jobs=1)
        path = train(options, Lines(lambda _: None)).path
    run = load_run(str(path))
    models = dict(zip([one["split"] for one in run.document["models"]], run.models(), strict=True))
    with Decoder(CONFIG, "auto") as decoder:
        for _, row in run.predictions().iterrows():
            found = decoder.extract((manifest.parent / row["clip_id"]).read_bytes())
            assert isinstance(found, Features)
            said = ask(models, model_input(run, CONFIG, found))[row["split"]]
            # Alone it is in a smaller batch than among others, which sums in another order.
            np.testing.assert_allclose(said, row[["p_dog", "p_rain"]].to_numpy(np.float32), atol=1e-5)
    done = predict(str(path), [str(manifest.parent / row["clip_id"])])
    assert done.exit_status == 0
    assert any("made with keras 3.0.0" in warning for warning in done.warnings)


def test_the_mean_over_the_models_is_told_with_its_doubts(dataset: Path, run: Path) -> None:
    """Label, probability, margin, entropy and agreement follow from what each model says."""
    clip = sorted(dataset.glob("audio/*/*.wav"))[0]
    done = predict(str(run), [str(clip)])
    (one,) = done.predictions
    assert done.exit_status == 0
    assert one.probability == max(one.probabilities.values()) == one.probabilities[one.label]
    assert sum(one.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert len(one.models) == len(load_run(str(run)).document["models"])
    assert one.agreement == sum(label == one.label for label in one.models.values()) / len(one.models)
    assert 0 <= one.margin <= one.probability <= 1
    assert "models agree" in done.lines()[0]
    assert "mean over" in done.lines()[-1]


def test_sureness_has_its_ends() -> None:
    """Certain models have entropy 0 and margin 1; models that know nothing have 1 and 0."""
    sure = judge("a", {"1": np.array([0, 1, 0], np.float32), "2": np.array([0, 1, 0], np.float32)}, "abc")
    assert (sure.label, sure.entropy, sure.margin, sure.agreement) == ("b", 0.0, 1.0, 1.0)
    blank = judge("a", {"1": np.full(4, 0.25, np.float32)}, "abcd")
    assert (blank.entropy, blank.margin) == (pytest.approx(1), 0.0)
    torn = judge("a", {"1": np.array([0.9, 0.1]), "2": np.array([0.2, 0.8])}, "ab")
    assert torn.agreement == 0.5


def test_bad_audio_fails_alone_and_by_name(dataset: Path, run: Path, tmp_path: Path) -> None:
    """Missing, no sound, too long: each a failure with its reason; the good clip is classified; exit status 3."""
    clip = sorted(dataset.glob("audio/*/*.wav"))[0]
    (tmp_path / "text.wav").write_text("no sound")
    write_audio(tmp_path / "long.wav", np.zeros(5 * 8000, np.float32) + 0.1)
    names = [str(tmp_path / name) for name in ("gone.wav", "text.wav", "long.wav")]
    result = CliRunner().invoke(main, ["predict", str(run), *names, str(clip), "--json"])
    assert result.exit_code == 3
    told = json.loads(result.stdout.splitlines()[-1])
    assert [one["path"] for one in told["predictions"]] == [str(clip)]
    assert {one["path"]: one["error"] for one in told["failures"]} == dict(
        zip(names, ("missing", "not_decodable", "too_long"), strict=True)
    )


def test_other_versions_are_told(run: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models and features that were made with other versions are used, with a warning for each."""
    monkeypatch.setattr(rundir, "versions", lambda: {"numpy": "1.0"})
    monkeypatch.setattr("us8k_batch.predict.numeric_versions", lambda *_: {"engine": "fast-0"})
    done = predict(str(run), [str(sorted(dataset.glob("audio/*/*.wav"))[0])])
    assert any("made with numpy" in warning for warning in done.warnings)
    assert any("computed with engine fast-2, here is fast-0" in warning for warning in done.warnings)
    assert done.exit_status == 0


def test_a_run_that_was_changed_is_refused(store: str, dataset: Path) -> None:
    """A model file with one other byte is not asked."""
    run = make_run(store, "mean", "run-changed")
    model = next((run / "models").iterdir())
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(bytes(data))
    with pytest.raises(DamageError, match=model.name):
        predict(str(run), [str(sorted(dataset.glob("audio/*/*.wav"))[0])])


def test_a_failure_is_a_failure_of_the_clip(run: Path, tmp_path: Path) -> None:
    """A folder in the place of a clip is named as such."""
    assert isinstance(predict(str(run), [str(tmp_path)]).failures[str(tmp_path)], Failure)
