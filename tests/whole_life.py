"""A store's whole life with real runs, and a dictionary that says what must be in it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from datasets import write_rows
from failpoints import Inline, Silent
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stores import CONFIG, VERSIONS, files, make_frames

from us8k_batch.audio.opening import ClipFile
from us8k_batch.catalog.room import new_room
from us8k_batch.cluster.where import Where
from us8k_batch.errors import Failure, StoreError, Us8kError
from us8k_batch.features.engine import Features
from us8k_batch.objects import LocalObjects
from us8k_batch.run import prepare, session
from us8k_batch.run.extract import extract
from us8k_batch.run.options import Options, Summary
from us8k_batch.settings import load_settings
from us8k_batch.store.commits import digest_frames
from us8k_batch.store.compact import compact
from us8k_batch.store.reader import open_store
from us8k_batch.store.verify import verify
from us8k_batch.workshop import Needs, Workshop

IDS = ("a", "b", "c", "d", "e")
WORDS = ("one", "two", "three", "bad 1", "bad 2", "bad one")
STEPS = ("create", "replace", "delete")
MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of its own is made in it
FAULTS = ("killed", "disk full", "answer lost")


class KilledError(BaseException):
    """Stands for SIGKILL: nothing that is meant for errors catches it."""


@dataclass
class Actor:
    """A run, whose writes can be broken, and which may have to wait for its turn."""

    at: int | None = None
    """Write, from 0, that is broken; None lets all happen."""
    how: str = "killed"
    """One of `FAULTS`; whatever is killed stays so, and so does a full disk."""
    writes: int = 0
    decoded: list[str] = field(default_factory=list)
    """Contents that it decoded."""
    summary: Summary | None = None
    error: BaseException | None = None
    turn: threading.Semaphore | None = None
    told: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: bool = False

    def step(self, use: str, take: Callable[[], Any]) -> Any:
        """Take a step on the store, or break it."""
        if self.turn is not None:
            self.told.release()
            self.turn.acquire()
        if use not in STEPS:
            return take()
        number, self.writes = self.writes, self.writes + 1
        if self.at is None or number < self.at:
            return take()
        if self.how == "killed":
            raise KilledError
        if self.how == "disk full" and use != "delete":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = take()
        if number == self.at and self.how == "answer lost":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return done


HERE = threading.local()


def _watched(use: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def step(self: LocalObjects, key: str, *arguments: Any) -> Any:
        actor: Actor | None = getattr(HERE, "actor", None)
        # The lease is a courtesy, and has tests of its own.
        if actor is None or key.startswith("lease"):
            return call(self, key, *arguments)
        return actor.step(use, lambda: call(self, key, *arguments))

    return step


class TinyBench(Workshop):
    """A workshop that makes numbers up from the words in a file."""

    def make_decoder(self, needs: Needs) -> Any:  # noqa: ARG002
        """Make a decoder of words."""
        return self

    def start(self) -> None:
        """Start nothing."""

    def take_starts(self) -> list[float]:
        """Tell of no start."""
        return []

    def room(self, length: int, ahead: int = 0) -> memoryview:  # noqa: ARG002
        """Give memory for a clip."""
        return new_room(length)

    def extract_many(self, clips: Iterable[ClipFile]) -> Iterator[Features | Failure]:
        """Decode here; ``bad`` words cannot be."""
        for data, _ in clips:
            content = bytes(data).decode()
            HERE.actor.decoded.append(content)
            if "/bad" in content:
                yield Failure("decode", "not_decodable", content)
            else:
                frames = make_frames(content)
                yield Features(frames, pooled(frames), len(content) / 8, {"decode": 0.0, "compute": 0.0})


def pooled(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return mean and standard deviation of frames."""
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1)]).astype(np.float32)


@contextlib.contextmanager
def connect(*_: object) -> Iterator[Inline]:
    """Stand for a cluster."""
    yield Inline(TinyBench())


@dataclass(frozen=True)
class File:
    """A clip as its owner left it."""

    word: str
    time: int
    fold: int = 1
    label: str = "dog"
    missing: bool = False

    def content(self, name: str) -> str:
        """Return what is in its file."""
        return f"{name}/{self.word}"


class WholeLife(RuleBasedStateMachine):
    """A dataset that its owner changes, a store that nothing disturbs, and two to which everything happens.

    After whatever disturbs it, ``crooked`` is brought up to date before the dataset changes again: it must be
    ``straight``, file by file. ``wild`` may be left unfinished for long: its tables must be true all the same.
    """

    @initialize()
    def begin(self) -> None:
        """Begin with three clips and no stores."""
        self.patches = contextlib.ExitStack()
        for use in (*STEPS, "get", "list"):
            self.patches.enter_context(patch.object(LocalObjects, use, _watched(use, getattr(LocalObjects, use))))
        # Only a power cut would tell whether it happened, and it is most of a small run's time.
        self.patches.enter_context(patch.object(os, "fsync", lambda _: None))
        self.patches.enter_context(patch.object(session, "connect", connect))
        self.engine = "made up"
        self.patches.enter_context(
            patch.object(prepare, "numeric_versions", lambda *_: {**VERSIONS, "engine": self.engine})
        )
        self.patches.enter_context(patch("us8k_batch.run.work.inspect_worker", lambda _: ""))
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        (self.folder / "data/audio").mkdir(parents=True)
        self.now = 0
        self.names = itertools.count()
        self.clips: dict[str, File] = {}
        self.column: str | None = None
        self.history: dict[str, list[File]] = {}
        self.store = {name: str(self.folder / name) for name in ("straight", "crooked", "wild")}
        self.published: dict[str, str] = {}
        self.is_current = {"crooked": False, "wild": False}
        self.used: set[str] = set()
        """Stores that a run or a compaction has used since they were looked at."""
        self.broken: set[str] = set()
        """Stores whose last run was broken."""
        for name in IDS[:3]:
            self.put(name, self.written(name, "one"))

    def teardown(self) -> None:
        """Remove the stores."""
        if hasattr(self, "patches"):
            self.patches.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # The dataset

    def written(self, name: str, word: str) -> File:
        """Return a clip with another content: its time moves."""
        self.now += 1
        file = replace(self.clips.get(name, File(word, 0)), word=word, time=self.now, missing=False)
        self.history.setdefault(name, []).append(file)
        return file

    def put(self, name: str, file: File | None) -> None:
        """Put a clip in place of the one of its name, or take it away."""
        self.clips.pop(name, None)
        if file is not None:
            self.clips[name] = file
        self.changed()

    def changed(self) -> None:
        """Write the dataset."""
        self.is_current = dict.fromkeys(self.is_current, False)
        rows = []
        for name, file in self.clips.items():
            row = {"path": f"audio/{name}", "clip_id": name, "label": file.label, "fold": str(file.fold)}
            rows.append(row | ({self.column: f"{file.fold / 2}"} if self.column else {}))
            path = self.folder / row["path"].replace("audio", "data/audio")
            path.unlink(missing_ok=True)
            if not file.missing:
                path.write_text(file.content(name))
                os.utime(path, ns=(file.time * 10**9, file.time * 10**9))
        if rows:
            write_rows(self.folder / "data/manifest.csv", rows)

    @rule(name=st.sampled_from(IDS), word=st.sampled_from(WORDS))
    def write(self, name: str, word: str) -> None:
        """Add a clip, or change it."""
        self.put(name, self.written(name, word))

    @rule(name=st.sampled_from(IDS))
    def touch(self, name: str) -> None:
        """Give a file another time, and nothing else."""
        if file := self.clips.get(name):
            self.put(name, self.written(name, file.word))

    @rule(name=st.sampled_from(IDS), which=st.integers(0, 5))
    def restore(self, name: str, which: int) -> None:
        """Put an earlier file back, with the time that it had."""
        if (file := self.clips.get(name)) and (earlier := self.history.get(name)):
            old = earlier[which % len(earlier)]
            self.put(name, replace(file, word=old.word, time=old.time, missing=False))

    @rule(name=st.sampled_from(IDS))
    def lose(self, name: str) -> None:
        """Let a file be gone."""
        if file := self.clips.get(name):
            self.put(name, replace(file, missing=True))

    @rule(name=st.sampled_from(IDS))
    def remove(self, name: str) -> None:
        """Let a clip leave the dataset, unless it is the last."""
        if len(self.clips) > 1:
            self.put(name, None)

    @rule(name=st.sampled_from(IDS), fold=st.integers(1, 3), label=st.sampled_from(["dog", "rain"]))
    def relabel(self, name: str, fold: int, label: str) -> None:
        """Move a clip to another fold, or give it another label."""
        if file := self.clips.get(name):
            self.put(name, replace(file, fold=fold, label=label))

    @rule(column=st.sampled_from([None, "x", "y"]))
    def describe(self, column: str | None) -> None:
        """Add a column to the metadata, or remove it."""
        self.column = column
        self.changed()

    # Runs

    def options(self, name: str, **more: Any) -> Options:
        """Make the options of a run."""
        return Options(
            dataset=str(self.folder / "data/manifest.csv"), store=self.store[name], settings=load_settings(),
            where=Where(), clips_per_shard=2, force=True, allow_removal=True, config=CONFIG, **more,
        )  # fmt: skip

    def act(self, actor: Actor, name: str, **more: Any) -> None:
        """Carry a run out in this thread, to its end or to its fault."""
        HERE.actor = actor
        try:
            actor.summary = extract(self.options(name, **more), Silent())
        except (KilledError, Us8kError) as error:
            actor.error = error
        finally:
            HERE.actor = None
            actor.over = True
            if actor.turn is not None:
                actor.told.release()

    def run(self, name: str, at: int | None = None, how: str = "killed", **more: Any) -> Actor:
        """Carry a run out; see that it computes nothing that is committed."""
        self.used.add(name)
        before = self.committed(name)
        actor = Actor(at, how)
        self.act(actor, name, **more)
        (self.broken.discard if actor.error is None else self.broken.add)(name)
        if not more:
            assert not before & {*actor.decoded}, "what was committed was computed again"
            assert len({*actor.decoded}) == len(actor.decoded), "a clip was computed twice"
        if at is None:
            assert actor.error is None, actor.error
        assert actor.error is None or not isinstance(actor.error, Us8kError) or actor.error.exit_status in (1, 2)
        return actor

    def committed(self, name: str) -> set[str]:
        """Return the contents of which a store holds results of the present engine."""
        if self.engine != "made up" or not (Path(self.store[name]) / "us8k.json").exists():
            return set()
        state = _state(self.store[name])
        known = {
            (name, digest_of(file.content(name))): file.content(name)
            for name, history in self.history.items()
            for file in history
        }
        return {
            known[pair]
            for pair in zip(state.index["clip_id"].to_pylist(), state.index["source_sha256"].to_pylist(), strict=True)
            if pair[1] is not None
        }

    @precondition(lambda self: not self.is_current["crooked"])
    @rule(
        faults=st.lists(st.tuples(st.integers(0, 22), st.sampled_from(FAULTS)), max_size=2),
    )
    def extract(self, faults: list[tuple[int, str]]) -> None:
        """Break runs at any write; then let one finish."""
        for at, how in faults:
            self.run("crooked", at, how)
        self.finish()

    @precondition(lambda self: not self.is_current["crooked"])
    @rule(seed=st.integers(0, 2**16), kill=st.none() | st.integers(0, 40))
    def extract_twice_at_once(self, seed: int, kill: int | None) -> None:
        """Let two runs take their steps in any order; perhaps one is killed. Then let one finish."""
        dice = random.Random(seed)
        actors = [Actor(kill), Actor()]
        threads = []
        for actor in actors:
            actor.turn = threading.Semaphore(0)
            threads.append(threading.Thread(target=self.act, args=(actor, "crooked")))
        for thread, actor in zip(threads, actors, strict=True):
            thread.start()
            actor.told.acquire()
        while going := [actor for actor in actors if not actor.over]:
            actor = dice.choice(going)
            for _ in range(dice.choice((1, 1, 2, 5, 20))):
                assert actor.turn is not None
                actor.turn.release()
                actor.told.acquire()
                if actor.over:
                    break
        for thread in threads:
            thread.join()
        errors = [actor.error for actor in actors if actor.error is not None]
        assert all(isinstance(error, KilledError) for error in errors), errors
        self.finish()

    def finish(self) -> None:
        """Bring the crooked store and the straight one up to date."""
        self.run("straight")
        self.run("crooked")
        self.is_current["crooked"] = True
        ours, theirs = files(self.store["crooked"]), files(self.store["straight"])
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if ours[key] != theirs[key]] == []

    @rule(at=st.none() | st.integers(0, 22), how=st.sampled_from(FAULTS))
    def extract_wild(self, at: int | None, how: str) -> None:
        """Let a run in the wild store break or not, whatever comes next."""
        actor = self.run("wild", at, how)
        self.is_current["wild"] |= actor.summary is not None and actor.error is None

    @precondition(lambda self: self.is_current["wild"])
    @rule()
    def retry(self) -> None:
        """Try failed clips again: they fail again."""
        self.run("wild", retry_failed=True)

    @rule(engine=st.sampled_from(["made up", "another"]), refresh=st.booleans())
    def upgrade(self, engine: str, refresh: bool) -> None:
        """Install another engine for a run in the wild store: what it had handed out is given up."""
        self.engine = engine
        try:
            self.run("wild", refresh_versions=refresh)
        finally:
            self.engine = "made up"
        self.is_current["wild"] = True

    @rule(at=st.none() | st.integers(0, 30))
    def compact(self, at: int | None) -> None:
        """Rewrite what is published, perhaps with a kill between; go on in the new stores."""
        for name in ("straight", "crooked", "wild"):
            old = self.store[name]
            new = f"{self.folder / name}-{next(self.names)}"
            try:
                published = open_store(old)
            except StoreError:
                continue
            if at is not None and name != "straight":
                HERE.actor = Actor(at)
                with contextlib.suppress(KilledError):
                    compact(old, new)
                HERE.actor = None
            # A run that was broken between its snapshot and the tables left readers the snapshot before.
            late = name in self.broken and verify(old).findings != []
            done = compact(old, new)
            compacted = open_store(new)
            if not late:
                assert done.rows == len(published) + int((published.failures["error"] != "missing").sum())
                # A compacted store has its clips in the order of folds, another in that of their arrival.
                ours, theirs = (
                    one.pooled.drop(columns="row").sort_values("clip_id") for one in (compacted, published)
                )
                np.testing.assert_array_equal(compacted.mfcc[list(ours.index)], published.mfcc[list(theirs.index)])
                assert ours.reset_index(drop=True).equals(theirs.reset_index(drop=True))
                assert compacted.complete == published.complete
            self.store[name] = new
            self.used.add(name)
            self.broken.discard(name)
        if self.is_current["crooked"]:
            assert files(self.store["crooked"]) == files(self.store["straight"])

    @rule()
    def prove(self) -> None:
        """Prove every store, whatever state it is in."""
        for name, path in self.store.items():
            if (Path(path) / "us8k.json").exists():
                done = verify(path)
                # A run that was broken between its snapshot and the tables leaves the tables before it, or none.
                rotten = [found for found in done.findings if not found.problem.endswith("us8k extract mends it")]
                assert rotten == []
                assert not done.findings or name in self.broken
                assert all(key.startswith("mfcc.zarr/mfcc/c/") for key in done.orphans), done.orphans

    # What must hold

    @invariant()
    def a_reader_sees_nothing_that_never_was(self) -> None:
        """Every live row is a version that its clip had, with that version's numbers."""
        if not hasattr(self, "store"):
            return
        for name in ("crooked", "wild"):
            try:
                store = open_store(self.store[name])
            except StoreError:
                assert name not in self.published, "what was published is gone"
                continue
            if self.published.get(name) == store.snapshot_id:
                continue
            self.published[name] = store.snapshot_id
            frames = store.mfcc[:]  # compares every row with its digest
            for i, (clip, n_frames) in enumerate(zip(store.pooled["clip_id"], store.pooled["n_frames"], strict=True)):
                was = {digest_of(file.content(clip)): file for file in self.history[clip]}
                file = was[str(store.source_sha256(i))]
                assert digest_frames(frames[i][:, :n_frames]) == digest_frames(make_frames(file.content(clip)))

    @invariant()
    def what_is_up_to_date_tells_the_truth(self) -> None:
        """Each clip that can be decoded is live, as it is now; the others say why; nothing is left to do."""
        if not hasattr(self, "store"):
            return
        looked_at, self.used = self.used, set()
        for name in (name for name, current in self.is_current.items() if current and name in looked_at):
            good = {i: file for i, file in self.clips.items() if not (file.missing or file.word.startswith("bad"))}
            reasons = {
                i: "missing" if file.missing else "not_decodable" for i, file in self.clips.items() if i not in good
            }
            store = open_store(self.store[name])
            assert store.complete
            assert dict(zip(store.failures["clip_id"], store.failures["error"], strict=True)) == reasons
            assert set(store.pooled["clip_id"]) == set(good)
            vectors = store.vectors()
            for i, line in enumerate(store.pooled.to_dict("records")):
                file = good[line["clip_id"]]
                content = file.content(line["clip_id"])
                assert store.source_sha256(i) == digest_of(content)
                np.testing.assert_array_equal(vectors[i], pooled(make_frames(content)))
                assert (line["fold"], line["label"]) == (file.fold, file.label)
                assert line.get("x", line.get("y")) == (file.fold / 2 if self.column else None)
            actor = self.run(name)
            self.used.discard(name)
            assert actor.summary is not None
            assert actor.summary.run_id is None, "something is left to do"
            assert actor.writes == 0


def digest_of(content: str) -> str:
    """Return the hex sha256 of a file."""
    import hashlib

    return hashlib.sha256(content.encode()).hexdigest()


def _state(path: str) -> Any:
    from us8k_batch.objects import open_objects
    from us8k_batch.store.layout import read_info
    from us8k_batch.store.state import load_state

    objects = open_objects(path)
    return load_state(objects, read_info(objects))
