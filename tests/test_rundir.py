"""Run directories: whole or absent, and refused when changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from us8k_batch.errors import DamageError, RequestError
from us8k_batch.training.rundir import finish, free_path, load_run, new_run, versions

DOCUMENT = {"protocol": "folds", "models": [{"file": "models/folds-1.ubj", "protocol": "folds", "split": "1"}]}


def write_run(path: Path) -> Path:
    """Write a run of two small files."""
    with new_run(path) as folder:
        (folder / "models" / "folds-1.ubj").write_bytes(b"a model")
        (folder / "metrics.jsonl").write_text('{"accuracy": 0.5}\n')
        finish(folder, DOCUMENT)
    return path


def test_a_run_says_what_was_written(tmp_path: Path) -> None:
    """Every file has its digest in run.json, and loading it gives the document without a warning."""
    run = load_run(str(write_run(tmp_path / "run")))
    assert set(run.document["files"]) == {"metrics.jsonl", "models/folds-1.ubj"}
    assert run.document["protocol"] == "folds"
    assert run.warnings == ()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """An error while a run is written leaves no folder, neither the run's nor a temporary one."""
    with pytest.raises(ZeroDivisionError), new_run(tmp_path / "run") as folder:
        (folder / "metrics.jsonl").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_to_be_seen_before_the_end(tmp_path: Path) -> None:
    """While a run is written its path does not exist."""
    with new_run(tmp_path / "run") as folder:
        assert not (tmp_path / "run").exists()
        finish(folder, {"models": []})
    assert (tmp_path / "run" / "run.json").is_file()


def test_a_run_never_writes_over_anything(tmp_path: Path) -> None:
    """A path that is taken, also one taken meanwhile, stays as it is."""
    write_run(tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(RequestError, match="is there already"), new_run(tmp_path / "run"):
        pass
    with pytest.raises(RequestError, match="put there meanwhile"), new_run(tmp_path / "other") as folder:
        finish(folder, {"models": []})
        write_run(tmp_path / "other")
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    assert load_run(str(tmp_path / "other")).document["protocol"] == "folds"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "run"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file where a folder should be is an error that names --out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="choose another --out"), new_run(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("name", ["metrics.jsonl", "models/folds-1.ubj"])
@pytest.mark.parametrize("change", ["flip", "append", "remove"])
def test_a_changed_file_is_refused_by_name(name: str, change: str, tmp_path: Path) -> None:
    """One flipped bit, one byte more or a missing file: the run is refused, and the reason names the file."""
    path = write_run(tmp_path / "run")
    data = bytearray((path / name).read_bytes())
    if change == "remove":
        (path / name).unlink()
    else:
        data[0] ^= change == "flip"
        (path / name).write_bytes(bytes(data) + b"x" * (change == "append"))
    with pytest.raises(DamageError, match=name):
        load_run(str(path))


def test_a_changed_document_is_refused(tmp_path: Path) -> None:
    """A better score written into run.json by hand is noticed."""
    path = write_run(tmp_path / "run")
    document = json.loads((path / "run.json").read_text())
    document["protocol"] = "article"
    (path / "run.json").write_text(json.dumps(document))
    with pytest.raises(DamageError, match=r"run\.json: was changed after the run"):
        load_run(str(path))


def test_a_model_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """A model that run.json names without a digest is not loaded."""
    with new_run(tmp_path / "run") as folder:
        finish(folder, DOCUMENT)
    with pytest.raises(DamageError, match=r"models/folds-1\.ubj has no digest"):
        load_run(str(tmp_path / "run"))


@pytest.mark.parametrize("name", ["xgboost", "keras", "skops"])
def test_other_versions_are_a_warning(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run made with another version of what its models are of loads, and says what may differ."""
    monkeypatch.setattr("us8k_batch.training.rundir.versions", lambda: {**versions(), name: "1.0.0"})
    path = write_run(tmp_path / "run")
    monkeypatch.undo()
    (warning,) = load_run(str(path)).warnings
    assert warning.startswith(f"made with {name} 1.0.0, here is ")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, RequestError, "no run here"),
        ("nonsense", DamageError, "cannot be read"),
        ("[]", DamageError, "expected a JSON object"),
        ('{"format": 99}', RequestError, "format 99; this program reads format 1"),
        ("{}", RequestError, "format None"),
    ],
)
def test_what_is_no_run_is_refused(content: str | None, error: type[Exception], message: str, tmp_path: Path) -> None:
    """The error says what is there and what was expected."""
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(error, match=message):
        load_run(str(tmp_path))


def test_free_names_count_up(tmp_path: Path) -> None:
    """The first number that is not taken is used."""
    assert free_path(tmp_path, "svm").name == "svm-001"
    (tmp_path / "svm-001").mkdir()
    assert free_path(tmp_path, "svm").name == "svm-002"
