"""One training run, from a store to a run directory."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feature_stores import make_catalog, make_features_store
from pages import assert_sound

from us8k_batch.errors import RequestError, StoreError
from us8k_batch.training.data import load_dataset
from us8k_batch.training.featuresets import load_features
from us8k_batch.training.progress import Lines
from us8k_batch.training.rundir import load_run
from us8k_batch.training.train import Trained, TrainOptions, train

FAST = {"n_estimators": 5}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a store of 60 clips in three folds."""
    return str(make_features_store(tmp_path_factory.mktemp("train") / "store"))


def options(store: str, out: Path, **given: object) -> TrainOptions:
    """Ask for a fast run."""
    return replace(TrainOptions(store=store, out=str(out), features="mean+std", parameters=FAST), **given)


@pytest.fixture(scope="module")
def trained(store: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train once for the tests that only look."""
    return train(options(store, tmp_path_factory.mktemp("train") / "run"), Lines(lambda _: None))


def digests(path: Path) -> dict[str, str]:
    """Return the digest of each file of a run."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_run_directory_holds_all_that_was_promised(trained: Trained) -> None:
    """Tables, models, figures, report and document are there, and can be opened."""
    expected = {"run.json", "metrics.jsonl", "predictions.parquet", "report.html"}
    figures = {
        f"figures/{name}.{kind}" for name in ("confusion", "per_class", "calibration") for kind in ("png", "svg")
    }
    models = {f"models/folds-{fold}.ubj" for fold in (1, 2, 3)}
    assert set(digests(trained.path)) == expected | figures | models
    assert load_run(str(trained.path)).warnings == ()


def test_json_is_what_the_contract_says(trained: Trained) -> None:
    """``train --json`` has exactly these keys."""
    values = trained.to_dict()
    assert list(values) == [
        "run", "model", "protocol", "warnings", "features", "folds", "accuracy_mean", "accuracy_std", "macro_f1",
        "per_class",
    ]  # fmt: skip
    assert set(values["folds"]) == {"1", "2", "3"}
    assert values["accuracy_mean"] == pytest.approx(np.mean(list(values["folds"].values())))
    json.dumps(values, allow_nan=False)


def test_predictions_cover_every_clip_once(trained: Trained, store: str) -> None:
    """One row per clip, with probabilities that add up, and the accuracy that run.json says."""
    table, data = pd.read_parquet(trained.path / "predictions.parquet"), load_dataset(store)
    assert sorted(table["clip_id"]) == sorted(data.clip_ids)
    np.testing.assert_allclose(table[["p_class-0", "p_class-1", "p_class-2"]].sum(axis=1), 1, atol=1e-5)
    assert (table["split"] == table["fold"].astype(str)).all()
    by_fold = (table["label"] == table["predicted"]).groupby(table["split"]).mean()
    assert by_fold.to_dict() == pytest.approx(trained.scores.folds)


def test_a_kept_model_says_again_what_it_said(trained: Trained, store: str) -> None:
    """The model of fold 1, loaded from the run, gives the run's probabilities of fold 1."""
    data, run = load_dataset(store), load_run(str(trained.path))
    features = load_features(data, "mean+std").values[data.folds == 1]
    table = run.predictions()
    said = table.loc[table["split"] == "1", ["p_class-0", "p_class-1", "p_class-2"]].to_numpy()
    np.testing.assert_array_equal(run.models()[0].predict_proba(features), said)


def test_the_same_seed_gives_the_same_run(trained: Trained, store: str, tmp_path: Path) -> None:
    """Two runs of one seed, on one and on two jobs, differ in the time of day only: run.json and the report."""
    for jobs in (1, 2):
        again = train(options(store, tmp_path / f"run-{jobs}", jobs=jobs), Lines(lambda _: None))
        ours, first = digests(again.path), digests(trained.path)
        assert {name for name in first if ours[name] != first[name]} <= {"run.json", "report.html"}
        told = {**again.to_dict(), "run": None}
        assert told == {**trained.to_dict(), "run": None}


def test_the_report_needs_no_network(trained: Trained) -> None:
    """The page has everything in it: no address is loaded from, and it is of this run."""
    page = assert_sound((trained.path / "report.html").read_text(encoding="utf-8"))
    assert f"{100 * trained.scores.accuracy_mean:.1f} ±" in page.said
    assert "Features" in page.said


def test_what_features_are_worth_is_kept_by_split(trained: Trained) -> None:
    """run.json has the loss of each statistic and coefficient on each fold's test clips, and of nothing else."""
    found = trained.document["importance"]["folds"]
    assert set(found["statistic"]) == {"mean", "std"}
    assert set(found["coefficient"]) == {str(i) for i in range(6)}
    assert all(set(splits) == {"1", "2", "3"} for kind in found.values() for splits in kind.values())
    assert max(value for splits in found["statistic"].values() for value in splits.values()) > 0.1


def test_training_needs_no_cluster_and_no_audio(store: str, tmp_path: Path) -> None:
    """A run from beginning to end imports neither Dask nor what decodes audio.

    Of XGBoost: skops looks through all of scikit-learn, which imports whatever arrays are installed.
    """
    program = (
        "import sys\nfrom us8k_batch.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as done:\n"
        "    assert not done.code\n    print({name.partition('.')[0] for name in sys.modules})"
    )
    asked = [
        "train",
        store,
        "--features",
        "salamon14",
        "--set",
        "n_estimators=2",
        "--out",
        str(tmp_path / "run"),
        "-q",
    ]
    done = subprocess.run([sys.executable, "-c", program, *asked], capture_output=True, text=True, check=True)
    imported = ast.literal_eval(done.stdout)
    assert "xgboost" in imported
    assert not imported & {"dask", "distributed", "librosa", "soundfile", "soxr", "numba"}


def test_the_articles_table_stands_beside_the_honest_score(store: str, tmp_path: Path) -> None:
    """The random split is scored on its own, its leak counted, the folds' score of the same model beside it."""
    asked = options(store, tmp_path / "article", protocol="article", features=None)
    told = train(asked, Lines(lambda _: None))
    honest = train(options(store, tmp_path / "folds", features="mean"), Lines(lambda _: None))
    article = told.article
    assert article is not None
    assert article.honest_accuracy == honest.scores.accuracy_mean
    assert article.test_accuracy == told.scores.accuracy_mean
    assert article.train_accuracy > 0.9
    data = load_dataset(store)
    table = load_run(str(told.path)).predictions().query("protocol == 'article'")
    tested = set(table["clip_id"])
    in_train = {g for clip, g in zip(data.clip_ids, data.groups, strict=True) if clip not in tested}
    shared = sum(data.group_names.index(group) in in_train for group in table["group"])
    assert (article.shared_clips, article.test_clips) == (shared, 12)
    assert len(article.lines()) == 5
    assert told.to_dict()["article"]["shared_clips"] == shared


def test_the_cache_of_features_stands_beside_the_run(store: str, tmp_path: Path) -> None:
    """What had to be pooled is kept in the folder of the runs, and the store is not written to."""
    before = digests(Path(store))
    train(options(store, tmp_path / "runs" / "one", features="salamon14"), Lines(lambda _: None))
    assert len(list((tmp_path / "runs" / ".us8k-features").glob("*-salamon14.parquet"))) == 1
    assert digests(Path(store)) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet"}, "model 'resnet' is unknown"),
        ({"features": "wavelets"}, "feature set 'wavelets'"),
        ({"protocol": "random"}, "protocol 'random'"),
        ({"parameters": {"depth": 3}}, "no parameter 'depth'"),
        ({"parameters": {"max_depth": -3}}, "split 1: model xgboost cannot be fitted"),
        ({"jobs": 0}, "--jobs 0"),
    ],
)
def test_a_bad_request_writes_nothing(store: str, tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Whatever is wrong with the request, nothing is left behind."""
    with pytest.raises(RequestError, match=message):
        train(options(store, tmp_path / "runs" / "run", **change), Lines(lambda _: None))
    assert [path for path in tmp_path.rglob("*") if path.name != "runs"] == []


def test_a_store_that_cannot_be_trained_on_writes_nothing(tmp_path: Path) -> None:
    """An incomplete publication and one fold only are refused before a run directory is begun."""
    partial = make_features_store(tmp_path / "partial", uncommitted=12)
    with pytest.raises(StoreError, match="--allow-incomplete"):
        train(options(str(partial), tmp_path / "run"), Lines(lambda _: None))
    one = make_features_store(tmp_path / "one", table=make_catalog(60, 3, 1))
    with pytest.raises(RequestError, match="every clip is in fold 1"):
        train(options(str(one), tmp_path / "run"), Lines(lambda _: None))
    assert not (tmp_path / "run").exists()


def test_without_folds_the_honest_score_is_by_recording(tmp_path: Path) -> None:
    """A dataset of one fold gets its honest score from groups, and one without either says why there is none."""
    one = make_features_store(tmp_path / "one", table=make_catalog(60, 3, 1))
    told = train(options(str(one), tmp_path / "run", protocol="article"), Lines(lambda _: None))
    assert told.article is not None
    assert told.article.honest_protocol == "grouped"
    neither = make_catalog(60, 3, 1, columns={"group": [None] * 60})
    other = make_features_store(
        tmp_path / "other", table=neither.set_column(2, "group", neither["group"].cast("string"))
    )
    told = train(options(str(other), tmp_path / "run2", protocol="article"), Lines(lambda _: None))
    assert told.article is not None
    assert (told.article.honest_accuracy, told.article.shared_clips) == (None, None)
    assert any(warning.startswith("leak unknown") for warning in told.document["warnings"])
    assert any(warning.startswith("no honest score by folds") for warning in told.document["warnings"])


@pytest.mark.parametrize("broken", ["draw_figures", "run_page"])
def test_a_run_is_whole_before_anything_is_drawn(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Its results can be read meanwhile; whatever happens is a warning with the command to try again."""

    def fail(*_: object, **__: object) -> None:
        assert load_run(str(tmp_path / "run")).predictions().shape[0] == 60
        raise MemoryError("no room")

    monkeypatch.setattr(f"us8k_batch.training.train.{broken}", fail)
    done = train(options(store, tmp_path / "run", model="dummy", parameters={}), Lines(lambda _: None))
    (warning,) = done.document["warnings"]
    again = f"us8k report {tmp_path}/run --out run.html"
    assert "no room" in warning and again in warning
    assert load_run(str(tmp_path / "run")).document == done.document


def test_labels_that_are_no_words_and_hundreds_of_them_end_in_a_run(tmp_path: Path) -> None:
    """Formulas, other scripts and line breaks in labels, 300 classes: figures, page and all."""
    odd = ["Ba$$in", "$x^$", "犬の声", "\N{DOG}", "a\nb", "<script>", 'say "x"', "'", "%s", "{0}"]
    names = odd + [f"class {i} of a long name that goes on" for i in range(290)]
    labels = [names[i // 2 % 300] for i in range(1800)]
    table = make_catalog(1800, 300, 3, columns={"label": labels})
    store = make_features_store(tmp_path / "store", table=table)
    asked = TrainOptions(store=str(store), model="dummy", features="mean", out=str(tmp_path / "run"))
    done = train(asked, Lines(lambda _: None))
    assert all("no font here has" in warning for warning in done.document["warnings"])
    assert {file.stem for file in (done.path / "figures").iterdir()} == {"confusion", "per_class", "calibration"}
    assert_sound((done.path / "report.html").read_text())


@pytest.mark.parametrize("recordings", [1, 2, 3])
@pytest.mark.parametrize("protocol", ["folds", "grouped", "article"])
def test_a_rare_class_is_learnt_by_every_model_or_named_with_what_it_needs(
    tmp_path: Path, protocol: str, recordings: int
) -> None:
    """With clips of one, two or three recordings, each in a fold of its own; nothing speaks of a class's code."""
    number = np.arange(60)
    labels = np.where(number % 4 < 2, "a", "b").astype(object)
    labels[number < 2 * recordings] = "zither"
    store = make_features_store(
        tmp_path / "store",
        table=make_catalog(
            60, 3, 3, columns={"label": labels.tolist(), "fold": pa.array(number // 2 % 3 + 1, pa.int32())}
        ),
    )
    parameters = {"random-forest": {"n_estimators": 5}, "xgboost": FAST, "mlp": {"max_iter": 2}}
    for model in ("xgboost", "svm", "random-forest", "knn", "mlp", "logistic", "dummy"):
        asked = TrainOptions(
            store=str(store), model=model, protocol=protocol, features="mean", out=str(tmp_path / model), jobs=1,
            parameters=parameters.get(model, {}),
        )  # fmt: skip
        if recordings == 1 and protocol != "article":
            expected = {"folds": r"no clip of zither .*two folds", "grouped": r"zither come from one recording"}
            with pytest.raises(RequestError, match=expected[protocol]):
                train(asked, Lines(lambda _: None))
            continue
        done = train(asked, Lines(lambda _: None))
        noted = any("calibrated without zither (split" in text for text in done.document["warnings"])
        if protocol != "article":
            assert noted == (recordings == 2 and model in ("svm", "random-forest"))
        assert load_run(str(done.path)).models()
        assert np.isfinite(done.scores.log_loss)
