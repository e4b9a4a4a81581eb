"""Two runs at once on one store: one works and one steps back, or both work, and readers read meanwhile."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from datasets import change_rows, make_manifest, write_tone
from failpoints import Begun, Ended, RunServer
from faulty import start
from reading import Reader
from stores import files

import us8k_batch
from us8k_batch.store.verify import verify


@pytest.fixture(scope="module")
def server() -> RunServer:
    """Start what starts runs."""
    return RunServer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for this module."""
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Path:
    """Make a dataset of five clips."""
    return make_manifest(folder / "v1", clips=5, seconds=0.1, formats=("WAV",))


@pytest.fixture(scope="module")
def store(server: RunServer, dataset: Path, folder: Path) -> Path:
    """Make its store, without disturbance."""
    assert server.run(dataset, folder / "store").status == 0
    return folder / "store"


@pytest.fixture(scope="module")
def changed(folder: Path, dataset: Path) -> Path:
    """Make the dataset as it is later: one clip changed, one gone, one new."""
    shutil.copytree(dataset.parent, folder / "v2")
    write_tone(folder / "v2/audio/clip001.wav", frequency=3000, seconds=0.1)
    write_tone(folder / "v2/audio/clip009.wav", frequency=4000, seconds=0.1)
    change_rows(folder / "v2/manifest.csv", lambda rows: [*rows[1:], rows[0] | {"path": "audio/clip009.wav"}])
    return folder / "v2/manifest.csv"


def in_turns(runs: list[Begun], seed: int, *, kill: int | None = None) -> list[Ended]:
    """Let runs take their steps one at a time, in an order that the seed decides; kill one of them at a step."""
    dice = random.Random(seed)
    told = [run.told() for run in runs]
    step = 0
    while waiting := [i for i, one in enumerate(told) if not isinstance(one, Ended)]:
        # Several steps in a row now and then, or no run would ever be far ahead of another.
        i = dice.choice(waiting)
        for _ in range(dice.choice((1, 1, 2, 5, 20))):
            runs[i].go(step != kill)
            step += 1
            told[i] = runs[i].told()
            if isinstance(told[i], Ended):
                break
    return [one for one in told if isinstance(one, Ended)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("accident", ["none", "one is killed"])
def test_two_runs_at_once_lose_and_double_nothing(
    seed: int, accident: str, server: RunServer, dataset: Path, store: Path, changed: Path, tmp_path: Path
) -> None:
    """With --force both work, step by step in any order: in the end the store is an undisturbed one's, byte for byte.

    So it is if one of them is killed, after the next run.
    """
    ours = tmp_path / "store"
    undisturbed = store
    wanted = dataset
    if seed % 2:
        undisturbed, wanted = tmp_path / "undisturbed", changed
        shutil.copytree(store, undisturbed)
        shutil.copytree(store, ours)
        assert server.run(changed, undisturbed).status == 0
    runs = [server.begin(wanted, ours, force=True, asking=True) for _ in range(2)]
    kill = None if accident == "none" else random.Random(seed).randrange(150)
    ended = in_turns(runs, seed, kill=kill)
    if kill is None:
        assert [one.status for one in ended] == [0, 0], ended
    else:
        assert sorted(one.status for one in ended)[1] == 0, ended
        assert server.run(wanted, ours).status == 0
    assert files(ours) == files(undisturbed)
    assert verify(str(ours)).findings == []
    assert us8k_batch.open_store(str(ours)).complete


def until(run: Begun, step: str) -> None:
    """Let a run go on until it is about to take a step."""
    told = run.told()
    while told != step:
        assert not isinstance(told, Ended), told
        run.go(True)
        told = run.told()


def extract(folder: Path, dataset: Path, store: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the real thing."""
    folder.mkdir(exist_ok=True)
    given = ("--workers", "1", "--clips-per-shard", "2", "--allow-removal", *options)
    return start(folder, "extract", dataset, store, *given)


def test_one_works_and_the_other_steps_back(
    server: RunServer, dataset: Path, store: Path, changed: Path, tmp_path: Path
) -> None:
    """A second run says within five seconds who works here, exits 1 and writes nothing; a dead one is succeeded."""
    ours, undisturbed = tmp_path / "store", tmp_path / "undisturbed"
    for copy in (ours, undisturbed):
        shutil.copytree(store, copy)
    assert server.run(changed, undisturbed).status == 0
    with Reader(ours) as reader:
        holder = server.begin(changed, ours, asking=True)
        until(holder, "link commits/00000003.parquet")
        before = files(ours)

        began = time.monotonic()
        other = server.run(changed, ours)
        assert time.monotonic() - began < 5
        assert other.status == 1
        assert f"process {holder.process.pid} on {socket.gethostname()}" in other.message
        assert "--force" in other.message
        real = extract(tmp_path, changed, ours)
        assert real.wait(60) == 1
        assert f"process {holder.process.pid} on" in (tmp_path / "log.txt").read_text()
        assert files(ours) == before

        holder.process.kill()
        assert holder.told() == Ended(-signal.SIGKILL)
        began = time.monotonic()
        assert server.run(changed, ours).status == 0
        assert time.monotonic() - began < 10, "a dead holder was waited for"
        assert files(ours) == files(undisturbed)
    assert reader.trouble is None
    assert len(reader.seen) == 2


def test_the_real_thing_twice_by_force(
    server: RunServer, dataset: Path, store: Path, changed: Path, tmp_path: Path
) -> None:
    """Two clients with workers of their own that both take the store over: both exit 0, and readers see no seam."""
    ours, undisturbed = tmp_path / "store", tmp_path / "undisturbed"
    for copy in (ours, undisturbed):
        shutil.copytree(store, copy)
    assert server.run(changed, undisturbed).status == 0
    with Reader(ours) as reader:
        runs = [extract(tmp_path / name, changed, ours, "--force") for name in ("one", "two")]
        statuses = [run.wait(60) for run in runs]
        assert statuses == [0, 0], [(tmp_path / name / "log.txt").read_text() for name in ("one", "two")]
    assert reader.trouble is None
    assert len(reader.seen) == len({*reader.seen}) == 2
    assert files(ours) == files(undisturbed)
    assert verify(str(ours)).findings == []
