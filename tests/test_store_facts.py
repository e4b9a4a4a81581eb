"""What the tables of a store tell: each count against what was put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stores import CONFIG, Clip, TinyRun, make_clips

from us8k_batch.reporting.store_facts import StoreFacts, store_facts
from us8k_batch.store.reader import open_store


def facts_of(folder: Path, clips: list[Clip], **extra: Any) -> StoreFacts:
    """Make a store of some clips, and count."""
    TinyRun(store=str(folder), clips=clips, **extra).run()
    return store_facts(str(folder), open_store(str(folder)))


def test_live_clips_are_counted_by_class_fold_and_duration(tmp_path: Path) -> None:
    """Twelve clips of two classes in three folds; each count adds up to all."""
    found = facts_of(tmp_path, make_clips())
    assert found.labels == ["dog", "rain"]
    assert found.folds == [1, 2, 3]
    assert {label: sum(counts.values()) for label, counts in found.classes.items()} == {"dog": 6, "rain": 6}
    assert sum(found.durations.values()) == 12
    assert found.recordings == 6
    assert found.complete
    assert (found.crossings.total, found.duplicates.total, found.failed.total) == (0, 0, 0)


def test_salience_is_counted_where_the_dataset_tells(tmp_path: Path) -> None:
    """UrbanSound8K's two values get their meaning; a dataset without them has none."""
    found = facts_of(tmp_path / "with", make_clips(), extra={"salience": lambda clip: 1 + (clip.label == "dog")})
    assert found.saliences == {"1, in the foreground": 6, "2, in the background": 6}
    assert facts_of(tmp_path / "without", make_clips()).saliences == {}
    words = facts_of(tmp_path / "words", make_clips(), extra={"salience": lambda clip: f"{clip.label}, loud"})
    assert words.saliences == {}


def test_clips_of_the_same_bytes_are_found(tmp_path: Path) -> None:
    """Two of one content, in two folds under two labels."""
    clips = [
        Clip(clip_id="a", content="same", fold=1, label="dog"),
        Clip(clip_id="b", content="same", fold=2, label="rain"),
        Clip(clip_id="c", content="other"),
    ]
    found = facts_of(tmp_path, clips).duplicates
    assert found.total == 1
    ((clips_in_it, ids, folds, labels),) = found.examples
    assert (clips_in_it, sorted(ids), sorted(folds), sorted(labels)) == (2, ["a", "b"], [1, 2], ["dog", "rain"])


def test_recordings_in_several_folds_are_found(tmp_path: Path) -> None:
    """One of two recordings crosses; without groups nothing is known."""
    clips = [
        Clip(clip_id="a", group="r1", fold=1, content="1"),
        Clip(clip_id="b", group="r1", fold=2, content="2"),
        Clip(clip_id="c", group="r1", fold=2, content="3"),
        Clip(clip_id="d", group="r2", fold=2, content="4"),
    ]
    found = facts_of(tmp_path / "known", clips)
    assert (found.recordings, found.crossings.total, found.crossing_clips) == (2, 1, 3)
    assert found.crossings.examples[0][:2] == ("r1", 3)
    unknown = facts_of(tmp_path / "unknown", [Clip(clip_id="a"), Clip(clip_id="b", content="b")])
    assert (unknown.recordings, unknown.crossings.total) == (None, 0)


def test_failures_are_counted_by_reason(tmp_path: Path) -> None:
    """Most frequent first, with the first of them named."""
    clips = [
        Clip(clip_id="a"),
        Clip(clip_id="b", content="bad one"),
        Clip(clip_id="c", content="bad two"),
        Clip(clip_id="d", missing=True),
    ]
    found = facts_of(tmp_path, clips)
    assert list(found.failures.items()) == [(("decode", "not_decodable"), 2), (("read", "missing"), 1)]
    assert found.failed.total == 3
    assert sorted(row[0] for row in found.failed.examples) == ["b", "c", "d"]


def test_clips_shorter_than_a_window_are_named_shortest_first(tmp_path: Path) -> None:
    """The window is 2,048 samples at 22,050 Hz; a clip lasts an eighth of a second for each letter of its content."""
    window = CONFIG.n_fft / CONFIG.sample_rate
    found = facts_of(tmp_path, [Clip(clip_id="long", content="sound"), Clip(clip_id="short", content="")])
    assert window == pytest.approx(0.0929, abs=1e-4)
    assert found.short.examples == (("short", "dog", 0.0),)
