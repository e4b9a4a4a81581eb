"""A store's life: whatever happens to a dataset and to runs, the tables tell the truth and work is done once."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stores import (
    VERSIONS,
    WRITES,
    Clip,
    Fuse,
    KilledError,
    TinyRun,
    change,
    files,
    make_info,
    make_result,
    run,
    stop,
    without,
)

from us8k_batch.store.layout import find_info
from us8k_batch.store.reader import open_store
from us8k_batch.store.verify import verify

INFO = make_info(clips_per_shard=2)
IDS = ("a", "b", "c", "d")
CONTENTS = ("one", "two", "three", "bad 1", "bad 2", "bad one")


class Life(RuleBasedStateMachine):
    """A dataset that its owner changes, a store that is extracted undisturbed, and one whose runs are killed."""

    clips: list[Clip]

    @initialize()
    def begin(self) -> None:
        """Begin with two clips and no stores."""
        self.folder = Path(tempfile.mkdtemp())
        self.time = 0
        self.versions: dict[str, list[Clip]] = {}
        self.computed: set[tuple[str, str]] = set()
        self.extra: dict[str, Callable[[Clip], Any]] = {}
        self.clips = []
        for name in IDS[:2]:
            self.clips.append(self.written(Clip(clip_id=name), "one"))
        self.is_current = False
        self.engine = dict(VERSIONS)

    def teardown(self) -> None:
        """Remove the stores."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def written(self, clip: Clip, content: str) -> Clip:
        """Write a clip's file: its time moves."""
        self.time += 1
        clip = replace(clip, content=content, mtime_ns=self.time, missing=False)
        self.versions.setdefault(clip.clip_id, []).append(clip)
        return clip

    def put(self, clip: Clip) -> None:
        """Put a clip in place of the one of its name."""
        self.clips = [*without(self.clips, clip.clip_id), clip]
        self.is_current = False

    def named(self, name: str) -> Clip | None:
        """Find a clip of the dataset."""
        return next((clip for clip in self.clips if clip.clip_id == name), None)

    @rule(name=st.sampled_from(IDS), content=st.sampled_from(CONTENTS))
    def write(self, name: str, content: str) -> None:
        """Write a file, of a clip that is there or new, of the same size as an earlier one or another."""
        self.put(self.written(self.named(name) or Clip(clip_id=name), content))

    @rule(name=st.sampled_from(IDS))
    def leave(self, name: str) -> None:
        """Let a clip leave the dataset."""
        self.clips = without(self.clips, name)
        self.is_current = False

    @rule(name=st.sampled_from(IDS))
    def touch(self, name: str) -> None:
        """Give a file another time, and nothing else."""
        if clip := self.named(name):
            self.put(self.written(clip, clip.content))

    @rule(name=st.sampled_from(IDS), which=st.integers(0, 5))
    def restore(self, name: str, which: int) -> None:
        """Put an earlier file back, with the time that it had."""
        if (clip := self.named(name)) and (versions := self.versions.get(name)):
            old = versions[which % len(versions)]
            self.put(replace(clip, content=old.content, mtime_ns=old.mtime_ns, missing=False))

    @rule(name=st.sampled_from(IDS))
    def lose(self, name: str) -> None:
        """Let a file be gone."""
        self.clips = change(self.clips, name, missing=True)
        self.is_current = False

    @rule(name=st.sampled_from(IDS), fold=st.integers(1, 3), label=st.sampled_from(["dog", "rain"]))
    def relabel(self, name: str, fold: int, label: str) -> None:
        """Move a clip to another fold, or give it another label."""
        self.clips = change(self.clips, name, fold=fold, label=label)
        self.is_current = False

    @rule(column=st.sampled_from([None, "x", "y"]))
    def describe(self, column: str | None) -> None:
        """Add a column to the metadata, or remove it."""
        self.extra = {column: lambda clip: float("nan") if clip.fold == 1 else 0.5} if column else {}
        self.is_current = False

    @precondition(lambda self: not self.is_current)
    @rule(at=st.integers(0, 25), again=st.integers(0, 25))
    def extract(self, at: int, again: int) -> None:
        """Extract one store undisturbed; kill two runs in another, and let a third finish; finish the wild one."""
        done = run(self.folder / "straight", self.clips, extra=self.extra, info=INFO)
        by_id = {clip.clip_id: clip for clip in self.clips}
        new = {(name, by_id[name].content) for name in done.extracted}
        assert len(new) == len(done.extracted)
        assert not new & self.computed
        self.computed |= new
        for step in (at, again):
            with contextlib.suppress(KilledError):
                self.tiny("crooked", watch=Fuse(step, stop, uses=WRITES)).run()
        self.tiny("crooked").run()
        self.tiny("wild", versions=self.engine).run()
        self.is_current = True

    @rule(at=st.integers(0, 25))
    def extract_a_little(self, at: int) -> None:
        """Kill a run in the wild store, so that the dataset may change before the next one."""
        with contextlib.suppress(KilledError):
            self.tiny("wild", versions=self.engine, watch=Fuse(at, stop, uses=WRITES)).run()

    @rule()
    def publish_only(self) -> None:
        """Publish the wild store as a run does that could not compute anything."""
        tiny = self.tiny("wild", versions=self.engine)
        if find_info(tiny.objects) is not None and not len(tiny.plan().hash):
            tiny.publish()
            self.is_current = False

    @rule(engine=st.sampled_from(["made up", "another"]))
    def upgrade(self, engine: str) -> None:
        """Install another engine for the wild store: what it had handed out is given up."""
        self.engine = {**VERSIONS, "engine": engine}

    def tiny(self, name: str, **options: Any) -> TinyRun:
        """Prepare a run in one of the stores."""
        return TinyRun(store=str(self.folder / name), clips=self.clips, extra=self.extra, info=INFO, **options)

    @precondition(lambda self: self.is_current)
    @invariant()
    def the_killed_store_equals_the_undisturbed_one(self) -> None:
        """File by file, but for snapshots."""
        assert files(self.folder / "crooked") == files(self.folder / "straight")

    @precondition(lambda self: self.is_current)
    @invariant()
    def nothing_is_left_to_do(self) -> None:
        """See that the next run only reads."""
        for name in ("straight", "crooked", "wild"):
            assert self.tiny(name).plan().nothing_to_do

    @precondition(lambda self: self.is_current)
    @invariant()
    def the_tables_tell_the_truth(self) -> None:
        """Each clip that can be decoded is live with its present frames, vector and metadata; the others say why."""
        good = {clip.clip_id: clip for clip in self.clips if not (clip.missing or clip.content.startswith("bad"))}
        reasons = {
            clip.clip_id: "missing" if clip.missing else "not_decodable"
            for clip in self.clips
            if clip.clip_id not in good
        }
        for name in ("crooked", "wild"):
            store = open_store(str(self.folder / name))
            assert store.complete
            assert dict(zip(store.failures["clip_id"], store.failures["error"], strict=True)) == reasons
            assert set(store.pooled["clip_id"]) == set(good)
            frames, vectors = store.mfcc[:], store.vectors()
            for i, line in store.pooled.iterrows():
                clip = good[line["clip_id"]]
                result = make_result(clip, 0)
                assert result.frames is not None
                np.testing.assert_array_equal(frames[i, :, : line["n_frames"]], result.frames)
                np.testing.assert_array_equal(vectors[i], result.pooled)
                assert (line["fold"], line["label"]) == (clip.fold, clip.label)
                assert store.source_sha256(i) == clip.sha256
                for column, make in self.extra.items():
                    assert line[column] == make(clip) or pd.isna(line[column]) == pd.isna(make(clip))

    @precondition(lambda self: self.is_current)
    @invariant()
    def the_store_can_be_proved(self) -> None:
        """Every digest is right; only frames that were given up, or never committed, are orphans."""
        for name in ("crooked", "wild"):
            done = verify(str(self.folder / name))
            assert done.findings == []
            assert all(key.startswith("mfcc.zarr/mfcc/c/") for key in done.orphans)


Life.TestCase.settings = settings(max_examples=8, stateful_step_count=14, deadline=None)
TestLife = Life.TestCase
