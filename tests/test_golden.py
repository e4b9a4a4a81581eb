"""Stores that were written earlier: today's code reads them, proves them, and goes on with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden import EXPECTED, FOLDER, LATER, STORES, copy_golden, digests, name_later_clip
from mending import extract_alone
from read_plainly import read_plainly

from us8k_batch.features.engine import REVISIONS, numeric_versions
from us8k_batch.objects import open_objects
from us8k_batch.recheck import TOLERANCE, recheck
from us8k_batch.repair.repair import repair
from us8k_batch.settings import load_settings
from us8k_batch.store import parquet
from us8k_batch.store.layout import INFO, POOLED, commit_key, plan_key, read_info
from us8k_batch.store.plans import read_record
from us8k_batch.store.reader import open_store
from us8k_batch.store.verify import verify


@pytest.fixture
def golden(tmp_path: Path) -> tuple[Path, Path]:
    """Copy the golden dataset and the store that today's code writes of it."""
    return copy_golden(FOLDER, tmp_path)


@pytest.fixture(params=STORES)
def earlier(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Copy the golden dataset and one of the stores."""
    return copy_golden(FOLDER, tmp_path, request.param)


def test_it_is_read(earlier: tuple[Path, Path]) -> None:
    """Tables, frames by digest, failures, configuration: format 1 stays readable."""
    store = open_store(str(earlier[1]))
    assert (len(store), store.complete, store.config.n_mfcc) == (5, True, 8)
    assert list(store.failures["error"]) == ["not_decodable"]
    assert store.mfcc[:].shape == (5, 8, 32)
    assert dict(store.pooled["label"].value_counts()) == {"dog": 3, "rain": 2}


def test_it_is_proved(earlier: tuple[Path, Path]) -> None:
    """Whatever versions are here now, an old store is no damaged one."""
    done = verify(str(earlier[1]))
    assert (done.findings, done.orphans, done.rows) == ([], [], 6)


def test_its_numbers_are_those_of_its_audio(earlier: tuple[Path, Path]) -> None:
    """What librosa makes today of the same audio is what is stored."""
    done = recheck(str(earlier[1]), str(earlier[0]), sample=5)
    assert (done.compared, done.problems) == (5, [])
    assert done.largest_difference <= TOLERANCE


def test_it_is_continued(earlier: tuple[Path, Path]) -> None:
    """Nothing is to be done; a new clip is the only one extracted; nothing that was committed changes a byte."""
    manifest, store = earlier
    assert extract_alone(manifest, store).run_id is None
    before = digests(store)
    name_later_clip(manifest)
    summary = extract_alone(manifest, store)
    assert (summary.extracted, summary.live, summary.failures) == (1, 6, 1)
    assert verify(str(store)).findings == []
    after = digests(store)
    kept = ("us8k.json", "plans/", "commits/", "mfcc.zarr/mfcc/c/", "mfcc.zarr/zarr.json")
    assert {key: after[key] for key in before if key.startswith(kept)} == {
        key: digest for key, digest in before.items() if key.startswith(kept)
    }
    assert open_store(str(store)).pooled["clip_id"].to_list().count(LATER) == 1


def test_what_is_damaged_of_it_is_made_again_as_it_was(earlier: tuple[Path, Path]) -> None:
    """Its records in the manner in which they were written, whatever today's is."""
    manifest, store = earlier
    if not parquet.is_written_here((store / POOLED).read_bytes()):
        pytest.skip("another pyarrow than the one that wrote the golden store is installed")
    before = digests(store)
    for key in (commit_key(0), plan_key(1), INFO):
        (store / key).unlink()
    assert repair(str(store), str(manifest), load_settings()).left == []
    after = digests(store)
    assert {key: after[key] for key in before} == before


def test_it_is_continued_to_the_same_bytes(
    golden: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where versions and type of CPU are those that wrote it: made anew and continued, byte by byte.

    Revision 2 of the fast engine computes these clips, in which no band is weak, to the bits of revision 1.
    """
    monkeypatch.setitem(REVISIONS, "fast", 1)
    manifest, store = golden
    objects = open_objects(str(store))
    if read_record(objects, 1).versions != numeric_versions(read_info(objects).config, "auto"):
        pytest.skip("other numeric libraries than those that wrote the golden store are installed")
    if not written_here(store):
        pytest.skip("another pyarrow than the one that wrote the golden store is installed")
    expected = json.loads((FOLDER / EXPECTED).read_text())
    extract_alone(manifest, tmp_path / "anew")
    if digests(tmp_path / "anew")[commit_key(0)] != expected["first"][commit_key(0)]:
        assert recheck(str(tmp_path / "anew"), str(manifest), sample=5).problems == []
        pytest.skip("this type of CPU computes other last bits than the one that wrote the golden store")
    assert digests(tmp_path / "anew") == expected["first"]
    name_later_clip(manifest)
    for folder in (store, tmp_path / "anew"):
        extract_alone(manifest, folder)
        assert digests(folder) == expected["second"]


def test_it_is_read_without_our_package(earlier: tuple[Path, Path]) -> None:
    """zarr, xarray and pyarrow alone find every row as its digest says; ``make test-newest`` asks the newest ones."""
    found = read_plainly(earlier[1])
    assert (found["clips"], found["wrong"], found["shape"]) == (5, [], [6, 8, 32])


def written_here(store: Path) -> bool:
    """Tell whether the pyarrow that is here writes the published table as the same bytes."""
    data = (store / POOLED).read_bytes()
    table = parquet.decode(data, POOLED)
    return parquet.encode(table, parquet.metadata_of(table, POOLED)) == data
