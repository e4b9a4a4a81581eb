"""The Python interface: every example in it is run, in order, by somebody who has only a dataset."""

from __future__ import annotations

import doctest
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from datasets import make_manifest
from feature_stores import make_features_store
from runs import SMALL
from stores import files

import us8k_batch
from us8k_batch import api
from us8k_batch.catalog.check import check
from us8k_batch.catalog.synth import synthesise
from us8k_batch.config import read_options
from us8k_batch.errors import ConfigError, RequestError
from us8k_batch.recheck import recheck
from us8k_batch.reporting.report import report as write_page

FUNCTIONS = ("extract", "plan", "cross_validate", "report")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset of 60 clips."""
    folder = tmp_path_factory.mktemp("api")
    synthesise(str(folder / "synthetic"), clips=60, seed=0, seconds=0.3)
    return folder


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_examples_say_the_truth(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each function's docstring has an example, and running it prints what stands there."""
    monkeypatch.chdir(folder)
    function = getattr(us8k_batch, name)
    (example,) = doctest.DocTestFinder().find(function, name, globs={})
    assert example.examples
    told: list[str] = []
    result = doctest.DocTestRunner().run(example, out=told.append)
    assert result.failed == 0, "".join(told)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_explained(name: str) -> None:
    """The docstring names each parameter, and what comes back."""
    function = getattr(api, name)
    text = inspect.getdoc(function) or ""
    assert "Returns\n-------" in text
    for parameter in inspect.signature(function).parameters:
        assert parameter in text


def test_importing_it_costs_nothing() -> None:
    """The package alone brings none of the heavy libraries, and every name it lists is there."""
    program = (
        "import sys, us8k_batch\n"
        "assert not {'numpy', 'pandas', 'dask', 'pyarrow', 'librosa'} & set(sys.modules), sys.modules\n"
        "assert all(callable(getattr(us8k_batch, name)) for name in us8k_batch.__all__ if name[0] != '_')\n"
        "import us8k_batch.run.session, us8k_batch.run.describe, us8k_batch.reporting.report\n"
        "assert all(callable(getattr(us8k_batch, name)) for name in us8k_batch.__all__ if name[0] != '_')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_lines_are_told_and_paths_are_paths(folder: Path, scheduler: str, tmp_path: Path) -> None:
    """Paths may be `pathlib` ones, parameters a mapping; a second call changes no byte."""
    told: list[str] = []
    features = read_options(None, SMALL)
    store = tmp_path / "store"
    done = us8k_batch.extract(folder / "synthetic", store, features=features, scheduler=scheduler, tell=told.append)
    assert (done.extracted, done.failures, done.exit_status) == (60, 0, 0)
    assert "extracting 60 clips" in told
    before = files(str(store))
    again = us8k_batch.extract(folder / "synthetic", store, features=features)
    assert (again.run_id, files(str(store))) == (None, before)
    opened = us8k_batch.open_store(str(store))
    assert isinstance(opened.pooled, pd.DataFrame)
    trained = us8k_batch.cross_validate(store, "dummy", out=tmp_path / "run", jobs=1)
    for shown in (opened, done, again, trained):
        html = shown._repr_html_()
        assert str(shown.path if shown is trained else 60) in html
        assert html.count("<tr>") == html.count("</tr>")


def test_a_notebook_shows_text_as_text(folder: Path, scheduler: str, tmp_path: Path) -> None:
    """A class named like a tag is shown by its name."""
    manifest = folder / "synthetic" / "manifest.csv"
    clip = next((folder / "synthetic" / "audio").rglob("*.wav")).relative_to(folder / "synthetic")
    manifest.write_text(f"path,label,fold\n{clip},<script>alert(1)</script>,1\n")
    store = tmp_path / "store"
    us8k_batch.extract(manifest, store, features=read_options(None, SMALL), scheduler=scheduler)
    html = us8k_batch.open_store(str(store))._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script" not in html


def test_mistakes_are_the_commands_mistakes(folder: Path, tmp_path: Path) -> None:
    """An unknown parameter, a clip that is not there, a folder that is no dataset: named, and nothing is written."""
    with pytest.raises(ConfigError, match="n_mfccs"):
        us8k_batch.extract(folder / "synthetic", tmp_path / "store", features={"n_mfccs": 20})
    with pytest.raises(RequestError, match="nobody"):
        us8k_batch.plan(folder / "synthetic", tmp_path / "store", explain="nobody")
    with pytest.raises(RequestError):
        us8k_batch.plan(tmp_path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_columns_may_have_any_name_and_any_meaning(scheduler: str, tmp_path: Path) -> None:
    """A table with names of its own is extracted, trained on, shown, checked and proved; other names relabel."""
    names = (
        "salience",
        "fsID",
        "classID",
        "class",
        "peak",
        "rms",
        "shard",
        "place",
        "index",
        "genuine",
        "sample_rate",
    )
    own = {name: lambda i, name=name: f"{name} {i}" if i % 3 else "" for name in names}
    manifest = make_manifest(tmp_path / "data", clips=12, formats=("WAV",), columns=own)
    text = manifest.read_text()
    assert text.startswith("path,label,fold,group,")
    manifest.write_text(text.replace("path,label,fold,group,", "filename,category,part,src_file,", 1))
    columns = {"path": "filename", "label": "category", "fold": "part", "group": "src_file"}
    store, told = tmp_path / "store", list[str]()
    with pytest.raises(RequestError, match="no column path, label, fold; found 'filename'"):
        us8k_batch.plan(manifest, store)
    features = read_options(None, SMALL)
    how = {"features": features, "scheduler": scheduler, "tell": told.append}
    done = us8k_batch.extract(manifest, store, columns=columns, **how)
    assert (done.extracted, done.failures) == (12, 0)
    pooled = us8k_batch.open_store(str(store)).pooled
    assert list(pooled["filename"]) == list(pooled["path"])
    assert us8k_batch.extract(manifest, store, columns=columns, **how).run_id is None
    (record,) = (json.loads(path.read_bytes()) for path in (store / "runs").glob("*.json"))
    assert record["columns"] == columns
    run = us8k_batch.cross_validate(store, "dummy", out=tmp_path / "run", jobs=1)
    for target in (store, run.path):
        write_page([str(target)], str(tmp_path / "page.html"), dataset=str(manifest), columns=columns)
    assert recheck(str(store), str(manifest), 3, columns=columns).problems == []
    assert check(str(manifest), columns=columns).findings == 0
    again = us8k_batch.plan(manifest, store, columns=columns | {"group": "part"}).values["planned"]
    assert (again["relabelled"], again["new"], again["changed"]) == (12, 0, 0)


def test_labels_that_look_alike_are_told_by_every_run(scheduler: str, tmp_path: Path) -> None:
    """Also when there is nothing to do; the labels are published as they are."""
    manifest = make_manifest(tmp_path / "data", clips=4, formats=("WAV",), labels=("rain", "rain "))
    for _ in range(2):
        told: list[str] = []
        features = read_options(None, SMALL)
        us8k_batch.extract(manifest, tmp_path / "store", features=features, scheduler=scheduler, tell=told.append)
        assert any(line.startswith("warning: labels that look like one class") for line in told)
    assert set(us8k_batch.open_store(str(tmp_path / "store")).pooled["label"]) == {"rain", "rain "}
    assert "look like one class" in us8k_batch.plan(manifest, tmp_path / "store").text


def test_empty_mel_bands_are_warned_of_once(scheduler: str, tmp_path: Path) -> None:
    """Once a run, not once a clip; not at all where there is nothing to do."""
    manifest = make_manifest(tmp_path / "data", clips=4, formats=("WAV",))
    features = read_options(None, SMALL) | {"n_fft": 128, "n_mels": 128}
    told = [list[str](), list[str]()]
    for lines in told:
        us8k_batch.extract(manifest, tmp_path / "store", features=features, scheduler=scheduler, tell=lines.append)
    assert [sum("mel bands are empty" in line for line in lines) for lines in told] == [1, 0]


def test_a_shell_completes_what_there_is() -> None:
    """``dir`` lists what is imported only when it is asked for."""
    assert set(us8k_batch.__all__) <= set(dir(us8k_batch))


def test_telling_is_never_worth_a_run(tmp_path: Path) -> None:
    """``tell=print`` where stdout is full: the work is done all the same."""

    def full(message: str) -> None:
        raise OSError(28, f"no room for {message}")

    store = make_features_store(tmp_path / "store", clips=36)
    assert us8k_batch.cross_validate(store, "dummy", out=tmp_path / "run", tell=full).path.is_dir()
    assert us8k_batch.report(store, tmp_path / "page.html", tell=full).bytes
