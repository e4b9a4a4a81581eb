"""Records of runs: one that was changed in any bit is found by what stands in it alone."""

from __future__ import annotations

import json

from stores import flips

from us8k_batch.objects import LocalObjects
from us8k_batch.store.run_records import seal, verify_runs

DOCUMENT = {"run_id": "20260101T000000000Z-abcdef", "seconds": 0.1, "user": "Zoë", "versions": {"numpy": "2.0"}}


def found(objects: LocalObjects) -> list[str]:
    """Name what is found."""
    return [finding.key for finding in verify_runs(objects)]


def test_a_record_is_json_with_its_digest(tmp_path):
    """What was to be told is there as it was; nothing is found, nor in a report beside it."""
    objects = LocalObjects(tmp_path)
    objects.create("runs/1.json", seal(DOCUMENT))
    objects.create("runs/1.html", b"<html>")
    document = json.loads(objects.get("runs/1.json"))
    assert len(document.pop("sha256")) == 64
    assert document == DOCUMENT
    assert found(objects) == []


def test_any_damage_is_found(tmp_path):
    """Two hundred flipped bits, and a record that is cut, empty, or another's."""
    objects = LocalObjects(tmp_path)
    whole = seal(DOCUMENT)
    damaged = [data for _, data in flips(whole, most=200)]
    for data in [*damaged, whole[:-1], whole[:100], b"", b"{}", b"[1]"]:
        objects.replace("runs/1.json", data)
        assert found(objects) == ["runs/1.json"], data


def test_a_store_without_records_has_none_that_is_damaged(tmp_path):
    """Nothing is created either."""
    assert found(LocalObjects(tmp_path / "store")) == []


def test_a_record_from_before_they_had_digests_is_no_damage(tmp_path):
    """Unless it cannot be read: a store that an earlier release wrote proves as it did."""
    objects = LocalObjects(tmp_path)
    earlier = (json.dumps(DOCUMENT | {"worker_seconds": {"read": 1.5}}, indent=2) + "\n").encode()
    objects.create("runs/1.json", earlier)
    assert found(objects) == []
    objects.replace("runs/1.json", earlier[:-9])
    assert found(objects) == ["runs/1.json"]
