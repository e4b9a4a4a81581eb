"""Datasets, stores and runs from a stranger: refused by name, with little memory, and without a traceback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from golden import FOLDER
from hostile import MEMORY, edit_json, parquet_bytes, repeated, us8k_within

from us8k_batch.catalog.dataset import open_catalog
from us8k_batch.cli import main
from us8k_batch.errors import DamageError, DatasetError, RequestError, Us8kError
from us8k_batch.predict import predict
from us8k_batch.store import parquet
from us8k_batch.store.layout import ARRAY, INFO, POOLED, commit_key, plan_key, shard_key, snapshot_key
from us8k_batch.store.reader import open_store
from us8k_batch.store.verify import verify
from us8k_batch.store.zstd import MAGIC
from us8k_batch.training.rundir import digest_document, finish, load_run, new_run

DEEP = b"[" * 100_000
COMMANDS = ("status", "verify")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Copy the golden store, for a stranger to change."""
    return Path(shutil.copytree(FOLDER / "store", tmp_path / "store"))


def us8k(*arguments: object) -> tuple[int, str]:
    """Run the command here; whatever it raises but an exit is a failure of the test."""
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


# --- stores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        b'{"a":' * 100_000,
        b'{"format": 1, "config": NaN}',
        b'{"format": 1, "clips_per_shard": 1e999}',
        b'{"format": 2}',
        b'{"format": 1, "config": {"sample_rate": ' + b"9" * 4000 + b"}}",
        b'{"format": 1, "config": {"statistics": [{}]}, "frames": 1, "clips_per_shard": 1, "clips_per_chunk": 1}',
        b" " * (2 << 20),
        b"\xff\xfe",
        b"[]",
    ],
)
def test_a_description_that_is_none_is_refused(store: Path, content: bytes) -> None:
    """Deep, huge, infinite, of another format: every command says what is wrong, and with which file."""
    (store / INFO).write_bytes(content)
    for command in COMMANDS:
        status, said = us8k(command, store)
        assert status == 2
        assert str(store) in said


@pytest.mark.parametrize("field", ["clips_per_shard", "clips_per_chunk", "frames"])
@pytest.mark.parametrize("value", [0, -1, 1 << 62, True, "4", None, [], 1.5])
def test_sizes_that_contradict_each_other_are_refused(store: Path, field: str, value: Any) -> None:
    """No shard is larger than its memory, whatever the description says."""
    edit_json(store / INFO, **{field: value})
    with pytest.raises(RequestError, match=INFO):
        open_store(str(store))


@pytest.mark.parametrize("values", [{"number": 1 << 70}, {"first_shard": -1}, {"n_clips": 1e9}, {"versions": []}, {}])
def test_records_that_are_none_are_damage(store: Path, values: dict[str, Any]) -> None:
    """Numbers that cannot be counted with, lists for objects, nothing at all: found, and named."""
    for key in (plan_key(1), snapshot_key(1), commit_key(0)):
        table = parquet.decode((store / key).read_bytes(), key)
        said = parquet.metadata_of(table, key) | values if values else {}
        if key == snapshot_key(1) and values:
            said = parquet.metadata_of(table, key) | {"plans": [values], "settled": 1 << 60}
        (store / key).write_bytes(parquet.encode(table, said))
        assert key in {finding.key for finding in verify(str(store)).findings}
        assert us8k("verify", store)[0] == 1
        (store / key).write_bytes((FOLDER / "store" / key).read_bytes())


@pytest.mark.parametrize("name", ["row", "n_frames", "digest", "mfcc_mean_00", "clip_id"])
def test_a_published_table_of_other_columns_is_damage(store: Path, name: str) -> None:
    """A column that is absent, of another type, or null where readers count on it."""
    table = parquet.decode((store / POOLED).read_bytes(), POOLED)
    at = table.column_names.index(name)
    metadata = parquet.metadata_of(table, POOLED)
    for changed in (table.drop_columns(name), table.set_column(at, name, table["fold"].cast("int8"))):
        (store / POOLED).write_bytes(parquet.encode(changed, metadata))
        with pytest.raises(DamageError, match=f"pooled.parquet: not a published table: {name}"):
            open_store(str(store))


@pytest.mark.parametrize(("name", "value"), [("row", -1), ("row", 1 << 62), ("n_frames", -5), ("n_frames", 1 << 30)])
def test_places_outside_of_the_store_are_damage(store: Path, name: str, value: int) -> None:
    """No row before the first, no more frames than there can be."""
    table = parquet.decode((store / POOLED).read_bytes(), POOLED)
    values = [value, *table[name].to_pylist()[1:]]
    changed = table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))
    (store / POOLED).write_bytes(parquet.encode(changed, parquet.metadata_of(table, POOLED)))
    with pytest.raises(DamageError, match=name):
        open_store(str(store))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [6, 8, 1 << 40]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1 << 40, 8, 32]}}},
        {"data_type": "float64"},
        {"codecs": [{"name": "bytes"}]},
        {"shape": "six"},
    ],
)
def test_an_array_of_another_shape_is_refused(store: Path, change: dict[str, Any]) -> None:
    """What decides how much memory a row takes is what us8k.json says, not what the array says of itself."""
    edit_json(store / ARRAY, **change)
    opened = open_store(str(store))
    with pytest.raises(DamageError, match=r"zarr\.json: (not the|does not)"):
        opened.mfcc[0]
    with pytest.raises(DamageError, match=r"zarr\.json: (not the|does not)"):
        opened.to_xarray()


@pytest.mark.parametrize(("blocks", "reason"), [(1 << 15, r"has 131\d{3} bytes"), (100, "promises 4294967296 bytes")])
def test_a_chunk_that_is_a_bomb_is_refused(store: Path, blocks: int, reason: str) -> None:
    """A chunk of four gigabytes in 130 KB, or in 400 bytes: refused within little memory, by reader and proof."""
    # A header that is honest about it, then one block after another of the same byte.
    bomb = MAGIC + b"\xc0\x50" + (1 << 32).to_bytes(8, "little") + _blocks(blocks)
    good = (store / shard_key(0)).read_bytes()
    index = good[-20:-4]
    changed = np.frombuffer(index, "<u8").copy()
    changed[:] = 0, len(bomb)
    ending = changed.tobytes()
    (store / shard_key(0)).write_bytes(bomb + ending + google_crc32c.value(ending).to_bytes(4, "little"))
    status, said = us8k_within(MEMORY, "verify", store)
    assert (status, "Traceback" in said) == (1, False)
    assert f"{shard_key(0)}: not the shard that was written" in said
    with pytest.raises(DamageError, match=reason):
        open_store(str(store)).mfcc[0]


def _blocks(number: int) -> bytes:
    """Return zstd blocks of 128 KiB of one repeated byte each, the last of them marked so."""
    one = ((1 << 17) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = ((1 << 17) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return one * (number - 1) + last


@pytest.mark.parametrize("key", [POOLED, commit_key(0), plan_key(1), snapshot_key(1)])
def test_a_table_that_is_a_bomb_is_refused(store: Path, key: str) -> None:
    """Terabytes in some kilobytes, whichever table it is."""
    (store / key).write_bytes(repeated("x" * 1_000_000, 1_000_000))
    assert key in {finding.key for finding in verify(str(store)).findings}


# --- datasets -----------------------------------------------------------------------------------------------------


def test_a_manifest_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    """In a process with little memory, and without a traceback."""
    manifest = tmp_path / "manifest.parquet"
    manifest.write_bytes(repeated("x" * 1_000_000, 1_000_000))
    status, said = us8k_within(MEMORY, "plan", manifest, tmp_path / "store")
    assert (status, "Traceback" in said) == (2, False)
    assert f"{manifest}: expected a Parquet file" in said
    assert "would decode to" in said


def test_a_manifest_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    """A dataset that was unpacked cannot make us read a file of its owner; one that a person names may be a link."""
    (tmp_path / "private.csv").write_text("path,label,fold\nsecret.wav,dog,1\n")
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/manifest.csv").symlink_to(tmp_path / "private.csv")
    with pytest.raises(DatasetError, match="leads out of the dataset"):
        open_catalog(str(tmp_path / "dataset"))
    assert len(open_catalog(str(tmp_path / "dataset/manifest.csv")).clips) == 1


def test_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 in a Parquet column."""
    raw = pa.array([b"\xff\xfe", b"b.wav"], pa.binary()).view(pa.string())
    table = pa.table({"path": raw, "label": ["dog", "cat"], "fold": [1, 2]})
    (tmp_path / "manifest.parquet").write_bytes(parquet_bytes(table))
    with pytest.raises(DatasetError, match=r"UTF-?8"):
        open_catalog(str(tmp_path))


# --- runs ---------------------------------------------------------------------------------------------------------


def run_with(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Write a run, and change what it says as one who knows how digests are made."""
    with new_run(folder) as made:
        (made / "models/folds-1.ubj").write_bytes(b"a model")
        finish(
            made, {"protocol": "folds", "models": [{"file": "models/folds-1.ubj", "protocol": "folds", "split": "1"}]}
        )
    document = json.loads((folder / "run.json").read_text())
    change(document)
    document["digest"] = digest_document(document)
    (folder / "run.json").write_text(json.dumps(document))
    return str(folder)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "models/../../secret", "", "models/x\0y", "link", "pipe", "."]
)
def test_a_run_that_names_other_files_is_refused(tmp_path: Path, name: str) -> None:
    """No path out of the run, no link, no pipe: nothing of it is opened."""
    (tmp_path / "secret").write_text("a secret")
    run = run_with(tmp_path / "run", lambda document: document["files"].update({name: "0" * 64}))
    (tmp_path / "run/link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "run/pipe")
    with pytest.raises(DamageError, match=r"not opened|cannot be read"):
        load_run(run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(files=[]), "files is no object"),
        (lambda d: d.update(models={}), "models is no list"),
        (lambda d: d["models"].append("x"), r"models\[1\] is no object"),
        (lambda d: d["models"][0].update(file=7), r"models\[0\].file is '7'"),
        (lambda d: d.update(versions={"numpy": 2}), "versions.numpy is '2'"),
        (lambda d: d["models"][0].update(file="models/other.ubj"), "has no digest"),
    ],
)
def test_a_run_of_another_shape_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    """With right digests, and nonsense in it: named, not stumbled over."""
    with pytest.raises(DamageError, match=said):
        load_run(run_with(tmp_path / "run", change))


def test_a_model_that_is_exchanged_after_it_was_checked_is_not_loaded(tmp_path: Path) -> None:
    """What is loaded is what is compared with its digest, in that moment."""
    run = load_run(run_with(tmp_path / "run", lambda _: None))
    with pytest.raises(DamageError, match=r"run/models/folds-1\.ubj: not a model"):
        run.models()
    (tmp_path / "run/models/folds-1.ubj").write_bytes(b"another model")
    with pytest.raises(DamageError, match="is not what the run wrote"):
        run.models()


@pytest.mark.parametrize("content", [DEEP, b'{"a":' * 100_000, b'{"format": NaN}', b"\xff"])
def test_a_run_whose_document_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """Every command that reads runs says so."""
    (tmp_path / "run.json").write_bytes(content)
    for command in (("compare", tmp_path), ("predict", tmp_path, "x.wav")):
        status, said = us8k(*command)
        assert (status, "run.json" in said) == (1, True)


def test_predict_refuses_what_it_cannot_count_on(tmp_path: Path) -> None:
    """A run without a store's configuration, or with one that no store has room for."""
    with pytest.raises(Us8kError, match="classes is missing"):
        predict(run_with(tmp_path / "run", lambda _: None), [])

    def huge(document: dict[str, Any]) -> None:
        config = {"max_seconds": 86_400, "hop_length": 1, "sample_rate": 384_000}
        store = {"config": config, "versions": [{"engine": "fast-1"}]}
        document.update(classes=["a", "b"], features={"name": "mean", "statistics": ["mean"]}, store=store)

    with pytest.raises(DamageError, match="a shard has 64 MB"):
        predict(run_with(tmp_path / "huge", huge), [])
