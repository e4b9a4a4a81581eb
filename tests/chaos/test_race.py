"""Many processes at once: one gets the lease, and what each was told is done is there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from failpoints import python_path
from stores import Clip, make_info, make_result

from us8k_batch.objects import open_objects
from us8k_batch.store.commits import digest_frames
from us8k_batch.store.layout import create_info
from us8k_batch.store.lease import hold, this_process
from us8k_batch.store.state import load_state
from us8k_batch.store.verify import verify

Record = Callable[[str, object], None]
RACERS = 8
COMMITTERS, COMMITS = 4, 50
INFO = make_info(clips_per_shard=2)
HOLDING = """
import sys
from us8k_batch.errors import LeaseHeldError
from us8k_batch.objects import open_objects
from us8k_batch.store.lease import hold, this_process
objects, holder = open_objects(sys.argv[1]), this_process(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
try:
    with hold(objects, holder):
        print("held", flush=True)
        sys.stdin.readline()
except LeaseHeldError as error:
    print(error, flush=True)
"""
COMMITTING = """
import sys
from stores import Clip, make_catalog, make_info, make_result
from us8k_batch.objects import open_objects
from us8k_batch.store.commits import commit_shard
from us8k_batch.store.plans import create_plan, list_plans, read_plan
objects, name, number = open_objects(sys.argv[1]), sys.argv[2], int(sys.argv[3])
info = make_info(clips_per_shard=2)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(number):
    clips = [Clip(clip_id=f"{name}-{turn:03d}{half}", content=f"{name} {turn} {half}") for half in "ab"]
    created = None
    while created is None:  # somebody else was faster
        last = max(list_plans(objects), default=0)
        previous = read_plan(objects, last)[0] if last else None
        created = create_plan(objects, info, previous, make_catalog(clips), {"engine": "made up"})
    record, planned = created
    rows = planned["row"].to_pylist()
    outcome = commit_shard(objects, info, record.first_shard, [*map(make_result, clips, rows)])
    print(outcome, turn, *rows, flush=True)
"""


def begin(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program, and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    """Let a process go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_of_eight_processes_one_succeeds_the_dead(tmp_path: Path, record_property: Record) -> None:
    """The holder was killed: of eight that begin at once, one holds the lease, and seven are told its name."""
    url = str(tmp_path / "store")
    dead = begin(HOLDING, url, "dead")
    go(dead)
    assert dead.stdout is not None
    assert dead.stdout.readline() == "held\n"
    dead.kill()
    dead.wait()
    racers = {f"racer-{number}": begin(HOLDING, url, f"racer-{number}") for number in range(RACERS)}
    for racer in racers.values():
        go(racer)
    told = {name: racer.stdout.readline() for name, racer in racers.items() if racer.stdout}
    (winner,) = [name for name, line in told.items() if line == "held\n"]
    assert all(f"run {winner} (process" in line for name, line in told.items() if name != winner)
    for racer in racers.values():
        racer.communicate("\n")
    with hold(open_objects(url), this_process("after")):
        pass
    record_property("figure", f"1 winner of {RACERS} processes")


def test_committers_on_a_disk_lose_nothing(tmp_path: Path, record_property: Record) -> None:
    """Four processes hand out rows and commit fifty shards each: each row once, each with its own result."""
    record_property("figure", f"disk: {acknowledged_and_there(str(tmp_path / 'store'))}")


def test_committers_on_a_bucket_lose_nothing(
    s3: str, request: pytest.FixtureRequest, record_property: Record
) -> None:
    """In a bucket too, which is asked by all of them at once."""
    if request.node.callspec.params["s3_endpoint"] == "moto":
        pytest.skip("moto looks whether there is an object and then puts it, in two steps, so that two may win")
    record_property("figure", f"bucket: {acknowledged_and_there(f'{s3}/store')}")


def acknowledged_and_there(url: str) -> str:
    """Have them commit to a new store; compare what each was told with what is there; say how many."""
    create_info(open_objects(url), INFO)
    committers = {f"p{number}": begin(COMMITTING, url, f"p{number}", COMMITS) for number in range(COMMITTERS)}
    for committer in committers.values():
        go(committer)
    acknowledged: dict[int, Clip] = {}
    for name, committer in committers.items():
        for line in committer.communicate()[0].splitlines():
            outcome, turn, *rows = line.split()
            assert outcome == "committed"
            for row, half in zip(rows, "ab", strict=True):
                assert int(row) not in acknowledged, "a row was handed out twice"
                clip = Clip(clip_id=f"{name}-{int(turn):03d}{half}", content=f"{name} {turn} {half}")
                acknowledged[int(row)] = clip
    assert len(acknowledged) == 2 * COMMITTERS * COMMITS
    state = load_state(open_objects(url), INFO)
    there = {row["row"]: row for row in state.index.to_pylist()}
    assert there.keys() == acknowledged.keys()
    for number, clip in acknowledged.items():
        frames = make_result(clip, number).frames
        assert frames is not None
        expected = clip.clip_id, clip.sha256, digest_frames(frames)
        assert tuple(there[number][name] for name in ("clip_id", "source_sha256", "digest")) == expected
    assert len(state.pending) == 0
    assert verify(url).findings == []
    return f"{len(acknowledged) // 2} acknowledged, {len(there) // 2} there"
