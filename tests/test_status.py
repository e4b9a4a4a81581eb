"""Status: what is in a store, in plain values, whatever state it is in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stores import CONFIG, VERSIONS, Clip, TinyRun, change, make_clips, run, stamps

from us8k_batch.errors import DamageError, StoreError
from us8k_batch.objects import open_objects
from us8k_batch.store.layout import create_info, snapshot_key
from us8k_batch.store.status import last_runs, status

CLIPS = [*make_clips(10), Clip(clip_id="bad", content="bad sound", fold=2), Clip(clip_id="gone", missing=True)]


def test_a_store_is_described(tmp_path: Path) -> None:
    """Live clips by fold and label, failures by reason, rows by state, parameters, versions and the snapshot."""
    run(tmp_path, change(CLIPS, "c003", content="an earlier sound"))
    run(tmp_path, CLIPS)
    found = status(str(tmp_path))
    assert json.loads(json.dumps(found)) == found
    assert (found["store"], found["config"], found["frames"]) == (str(tmp_path), CONFIG.to_dict(), CONFIG.frames)
    assert (found["clips_per_shard"], found["live"], found["complete"], found["pending"]) == (4, 10, True, 0)
    assert found["states"] == {"live": 10, "failed": 1, "missing": 1, "superseded": 1}
    assert found["folds"] == {"1": 4, "2": 4, "3": 2}
    assert found["labels"] == {"dog": 5, "rain": 5}
    assert found["failures"] == {"missing": 1, "not_decodable": 1}
    assert found["failed_clips"][0] == {
        "clip_id": "bad",
        "stage": "decode",
        "error": "not_decodable",
        "detail": "bad sound",
    }
    assert VERSIONS in found["versions"]
    assert found["snapshot"]["number"] == 2
    assert (found["uncommitted"], found["runs"]) == (0, [])


def test_a_store_without_a_publication_is_described(tmp_path: Path) -> None:
    """Nothing live, not complete, and how many rows wait for their results."""
    tiny = TinyRun(store=str(tmp_path), clips=make_clips())
    create_info(tiny.objects, tiny.info)
    empty = status(str(tmp_path))
    assert (empty["live"], empty["complete"], empty["snapshot"], empty["uncommitted"]) == (0, False, None, 0)
    assert (empty["states"], empty["folds"], empty["failures"], empty["failed_clips"]) == ({}, {}, {}, [])
    shards = tiny.hand_out(tiny.plan())
    assert shards is not None
    tiny.extract(shards[:1])
    assert status(str(tmp_path))["uncommitted"] == 8


def test_a_publication_that_waits_is_not_complete(tmp_path: Path) -> None:
    """Clips whose result is not there are counted; so are rows handed out since."""
    run(tmp_path, make_clips())
    tiny = TinyRun(store=str(tmp_path), clips=change(make_clips(), "c003", content="a longer sound"))
    tiny.publish()
    assert (status(str(tmp_path))["complete"], status(str(tmp_path))["pending"]) == (False, 1)
    run(tmp_path, make_clips())
    assert status(str(tmp_path))["complete"]
    tiny.hand_out(tiny.plan())
    found = status(str(tmp_path))
    assert (found["complete"], found["uncommitted"]) == (False, 1)


def test_the_first_failed_clips_are_named(tmp_path: Path) -> None:
    """A store of many failures is described in a few lines; all are counted."""
    run(tmp_path, [Clip(clip_id=f"c{i:02d}", content="bad") for i in range(15)])
    found = status(str(tmp_path))
    assert [clip["clip_id"] for clip in found["failed_clips"]] == [f"c{i:02d}" for i in range(10)]
    assert found["failures"] == {"not_decodable": 15}


def test_describing_changes_nothing(tmp_path: Path) -> None:
    """No file is written."""
    run(tmp_path, CLIPS)
    before = stamps(tmp_path)
    status(str(tmp_path))
    assert stamps(tmp_path) == before


def test_a_place_without_a_store_is_refused(tmp_path: Path) -> None:
    """The message says how to create one; a damaged store is told as such."""
    with pytest.raises(StoreError, match=r"no store here.*us8k extract"):
        status(str(tmp_path))
    run(tmp_path, CLIPS)
    (tmp_path / snapshot_key(1)).write_bytes(b"")
    with pytest.raises(DamageError, match=snapshot_key(1)):
        status(str(tmp_path))


def test_the_last_runs_come_first(tmp_path: Path) -> None:
    """The newest records, as many as asked for; a damaged one is passed over, a report is none."""
    objects = open_objects(str(tmp_path))
    for number in range(8):
        objects.create(f"runs/2026010{number}T000000Z-abc.json", json.dumps({"run_id": number}).encode())
    objects.create("runs/20260107T000000Z-abc.html", b"<html>")
    objects.replace("runs/20260106T000000Z-abc.json", b"{")
    objects.replace("runs/20260105T000000Z-abc.json", b"[1]")
    objects.replace("runs/20260104T000000Z-abc.json", b"\xff")
    assert [record["run_id"] for record in last_runs(str(tmp_path), 3)] == [7, 3, 2]
    assert [record["run_id"] for record in last_runs(str(tmp_path))] == [7, 3, 2, 1, 0]


def test_a_store_in_a_bucket_is_described(s3: str) -> None:
    """A bucket is only another URL."""
    run(s3, CLIPS)
    assert (status(s3)["store"], status(s3)["live"]) == (s3, 10)
