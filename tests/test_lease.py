"""Lease: the second run is told who works, the dead are followed at once, the silent after a while."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from stores import Fuse

from us8k_batch.errors import JobError, LeaseHeldError, RequestError
from us8k_batch.objects import LocalObjects, Objects, open_objects
from us8k_batch.store import lease
from us8k_batch.store.lease import (
    ANSWER_SECONDS,
    HEARTBEAT_SECONDS,
    POLL_SECONDS,
    SILENCE_SECONDS,
    Holder,
    _read_holder,
    hold,
    this_process,
)

HOLDING = """
import sys
from us8k_batch.objects import open_objects
from us8k_batch.store.lease import hold, this_process
with hold(open_objects(sys.argv[1]), this_process("other")):
    print("held", flush=True)
    sys.stdin.readline()
"""


class Time:
    """A clock that moves only while somebody waits, and what happens meanwhile."""

    def __init__(self, meanwhile: Callable[[float], object] = lambda _: None) -> None:
        self.now = 1000.0
        self._meanwhile = meanwhile

    def clock(self) -> float:
        """Tell the time, in seconds."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self._meanwhile(self.now - 1000.0)


@pytest.fixture(params=["local", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Open an empty root: a folder, and a bucket."""
    return open_objects(str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3"))


@pytest.fixture
def local(tmp_path: Path) -> Objects:
    """Open an empty folder."""
    return open_objects(str(tmp_path / "store"))


def elsewhere(objects: Objects, *, epoch: int = 1, beat: int | None = 1) -> Holder:
    """Let a run on another machine hold the lease; its heart beats only if somebody writes it."""
    holder = Holder("far", "far.example", 1, "another boot/another namespace", 1.0)
    objects.create(f"lease/epoch-{epoch:06d}.json", json.dumps(asdict(holder)).encode())
    if beat is not None:
        beats(objects, beat, epoch=epoch)
    return holder


def beats(objects: Objects, count: int, *, epoch: int = 1) -> None:
    """Let the heart of a holder beat."""
    objects.replace(f"lease/beat-{epoch:06d}.json", json.dumps({"beat": count}).encode())


def keys(objects: Objects) -> list[str]:
    """List what is in the lease's folder."""
    return sorted(info.key for info in objects.list("lease"))


def take(objects: Objects, name: str, time: Time) -> None:
    """Take the lease and release it."""
    with hold(objects, this_process(name), clock=time.clock, wait=time.wait):
        pass


@contextlib.contextmanager
def another_process(url: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lease while the block runs."""
    command = [sys.executable, "-c", HOLDING, url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


# --- living holders ----------------------------------------------------------------------------------------------


def test_a_lease_is_held_and_released(objects: Objects) -> None:
    """One run after another gets it at once, and the folder does not grow."""
    for turn in range(3):
        time = Time()
        with hold(objects, this_process(f"run {turn}"), clock=time.clock, wait=time.wait):
            assert f"lease/epoch-{turn + 1:06d}.json" in keys(objects)
        assert time.now == 1000.0
        assert keys(objects) == [f"lease/beat-{turn + 1:06d}.json", f"lease/epoch-{turn + 1:06d}.json"]


def test_a_second_run_in_the_same_process_is_refused_at_once(objects: Objects) -> None:
    """The message names the holder and says what can be done."""
    time = Time()
    with hold(objects, this_process("first")):
        with pytest.raises(LeaseHeldError, match=rf"run first \(process {os.getpid()} on .*\).*--force") as caught:
            take(objects, "second", time)
        assert objects.url in str(caught.value)
        assert isinstance(caught.value, JobError)
    assert time.now == 1000.0


def test_a_second_process_on_the_same_host_is_refused_at_once(local: Objects) -> None:
    """A living process is seen, without waiting for its heart."""
    time = Time()
    with another_process(local.url) as other, pytest.raises(LeaseHeldError) as caught:
        take(local, "second", time)
    assert f"run other (process {other.pid} on" in str(caught.value)
    assert time.now == 1000.0


def test_a_living_holder_elsewhere_is_told_within_five_seconds(objects: Objects) -> None:
    """Its heart beats every two seconds; the first beat that is seen says that it lives."""
    elsewhere(objects)
    time = Time(lambda passed: beats(objects, 1 + int(passed // HEARTBEAT_SECONDS)))
    with pytest.raises(LeaseHeldError, match=r"run far \(process 1 on far\.example\)"):
        take(objects, "second", time)
    assert time.now - 1000.0 <= HEARTBEAT_SECONDS + POLL_SECONDS <= ANSWER_SECONDS < 5


def test_a_holder_that_has_just_begun_lives(local: Objects) -> None:
    """Its first beat may come after its epoch."""
    elsewhere(local, beat=None)
    time = Time(lambda _: beats(local, 1))
    with pytest.raises(LeaseHeldError):
        take(local, "second", time)


def test_the_heart_beats_while_the_lease_is_held(local: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The beat moves, whatever the holder does, and stops when the lease is released."""
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.01)
    seen: list[bytes] = []
    moved = threading.Event()

    class Listening(LocalObjects):
        def replace(self, key: str, data: bytes) -> None:
            LocalObjects.replace(self, key, data)
            seen.append(data)
            if len(seen) >= 3:
                moved.set()

    with hold(Listening(Path(local.url)), this_process("run")):
        assert moved.wait(20)
    assert [json.loads(data) for data in seen[:3]] == [{"beat": 1}, {"beat": 2}, {"beat": 3}]
    assert json.loads(seen[-1]) == {"released": True}
    assert not [thread for thread in threading.enumerate() if thread.name == "us8k-lease"]


# --- dead and silent holders -------------------------------------------------------------------------------------


def test_a_dead_process_on_the_same_host_is_followed_at_once(local: Objects) -> None:
    """It was killed and reaped: its process is not there any more."""
    time = Time()
    with another_process(local.url) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with hold(local, this_process("second"), clock=time.clock, wait=time.wait):
            assert "lease/epoch-000002.json" in keys(local)
    assert time.now == 1000.0


def test_a_killed_process_that_nobody_reaped_is_dead(local: Objects) -> None:
    """A zombie still has a process number, and no life; in a container nobody may ever reap it."""
    time = Time()
    with another_process(local.url) as other:
        os.kill(other.pid, signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and left as it is
        assert psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE
        with hold(local, this_process("second"), clock=time.clock, wait=time.wait):
            pass
    assert time.now == 1000.0


def test_a_process_number_that_is_used_again_is_not_the_holder(local: Objects) -> None:
    """Our own number, and another start: that holder is dead."""
    time = Time()
    impostor = replace(this_process("earlier"), started=this_process("earlier").started - 100)
    local.create("lease/epoch-000001.json", json.dumps(asdict(impostor)).encode())
    assert impostor.is_dead
    assert not impostor.is_here
    with hold(local, this_process("second"), clock=time.clock, wait=time.wait):
        pass
    assert time.now == 1000.0


def test_a_clock_that_is_set_makes_nobody_dead(local: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boot's time of day moves with the clock; when a process started is told without it."""
    with another_process(local.url) as other:
        holder = _read_holder(local, 1)
        assert holder is not None
        started = int(Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19])
        assert (holder.pid, holder.started) == (other.pid, started)
        boot = psutil.boot_time()
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot + 5)
        monkeypatch.setattr(psutil, "boot_time", lambda: boot + 5)
        assert holder.is_here
        with pytest.raises(LeaseHeldError):
            take(local, "second", Time())


def test_without_proc_the_heartbeat_alone_decides(local: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes cannot be looked at, nobody is certainly dead, and nobody certainly lives."""
    monkeypatch.setattr(lease, "_machine", str)
    holder = this_process("first")
    assert not holder.machine
    assert not holder.is_dead
    assert not holder.is_here


def test_a_process_on_another_machine_is_neither_dead_nor_here(local: Objects) -> None:
    """Its process number means nothing on this machine, whatever runs under it."""
    far = replace(this_process("far"), machine="another boot/another namespace")
    assert not far.is_dead
    assert not far.is_here
    assert this_process("here").is_here


def test_a_silent_holder_elsewhere_is_followed_after_a_while(objects: Objects) -> None:
    """Its heart does not move on our own clock for fifteen seconds; we say that we wait."""
    elsewhere(objects)
    told: list[str] = []
    time = Time()
    with hold(objects, this_process("second"), clock=time.clock, wait=time.wait, tell=told.append):
        assert "lease/epoch-000002.json" in keys(objects)
        assert "lease/epoch-000001.json" not in keys(objects)
    assert SILENCE_SECONDS <= time.now - 1000.0 <= SILENCE_SECONDS + POLL_SECONDS
    assert told == ["run far (process 1 on far.example) holds the store and is silent; taking over in 15 s"]


def test_a_holder_that_releases_while_somebody_waits_is_followed_then(local: Objects) -> None:
    """The one who waits gets it at once."""
    elsewhere(local)

    def release(passed: float) -> None:
        if passed >= 3:
            local.replace("lease/beat-000001.json", json.dumps({"released": True}).encode())

    time = Time(release)
    with hold(local, this_process("second"), clock=time.clock, wait=time.wait):
        pass
    assert time.now - 1000.0 <= 3 + POLL_SECONDS


def test_of_a_run_that_is_refused_nothing_is_left(objects: Objects) -> None:
    """Exit status 2 says that nothing was touched."""
    with pytest.raises(RequestError), hold(objects, this_process("refused")):
        raise RequestError("no scheduler answers there")
    assert list(objects.list("")) == []


def test_a_holder_that_is_refused_while_somebody_waits_is_followed_then(local: Objects) -> None:
    """A lease that is gone is free."""
    elsewhere(local)

    def meanwhile(seconds: float) -> None:
        if seconds == 6:
            local.delete("lease/epoch-000001.json")
            local.delete("lease/beat-000001.json")

    time = Time(meanwhile)
    take(local, "ours", time)
    assert time.now - 1000.0 == 6


def test_a_lease_that_somebody_else_took_meanwhile_is_that_ones(local: Objects) -> None:
    """Two wait for a silent holder; the slower one learns who was faster."""
    elsewhere(local)
    faster = replace(this_process("faster"), run_id="faster")
    time = Time(
        lambda passed: passed >= 10 and local.create("lease/epoch-000002.json", json.dumps(asdict(faster)).encode())
    )
    with pytest.raises(LeaseHeldError, match="run faster"):
        take(local, "slower", time)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"run_id": "x"}', b"\xff"])
def test_a_record_that_cannot_be_read_is_nobodys(local: Objects, data: bytes) -> None:
    """A damaged lease keeps nobody from working."""
    local.create("lease/epoch-000004.json", data)
    local.create("lease/beat-000004.json", data)
    time = Time()
    with hold(local, this_process("second"), clock=time.clock, wait=time.wait):
        assert "lease/epoch-000005.json" in keys(local)
    assert time.now == 1000.0


# --- force and races ---------------------------------------------------------------------------------------------


def test_force_takes_the_lease_from_a_living_holder(objects: Objects) -> None:
    """Without waiting; the first one may finish, and its release is not taken for the second's."""
    time = Time()
    with contextlib.ExitStack() as first, hold(objects, this_process("other"), force=True, wait=time.wait):
        first.enter_context(hold(objects, this_process("first"), force=True))
        with hold(objects, this_process("forced"), force=True, clock=time.clock, wait=time.wait):
            first.close()
            with pytest.raises(LeaseHeldError, match="run forced"):
                take(objects, "third", time)
    assert time.now == 1000.0


def test_of_eight_racing_runs_one_gets_the_lease(local: Objects) -> None:
    """All begin at once on a released lease: one holds it, and the other seven are told that one's name."""
    with hold(local, this_process("before")):
        pass
    together, done = threading.Barrier(8), threading.Barrier(8)
    holders: list[str] = []
    refused: list[str] = []

    def race(name: str) -> None:
        together.wait()
        try:
            with hold(local, this_process(name)):
                holders.append(name)
                done.wait()
        except LeaseHeldError as error:
            refused.append(str(error))
            done.wait()

    threads = [threading.Thread(target=race, args=(f"run-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(holders) == 1
    assert len(refused) == 7
    assert all(f"run {holders[0]} " in message for message in refused)


def test_a_run_that_looked_long_ago_does_not_get_a_number_that_was_cleaned_up(local: Objects) -> None:
    """At whatever step it stood still while others held and released the lease: exactly one holds it afterwards."""
    for at in range(20):
        objects = open_objects(f"{local.url}-{at}")
        take(objects, "before", Time())
        holding: list[str] = []
        with contextlib.ExitStack() as held:

            def go_on(
                objects: Objects = objects, held: contextlib.ExitStack = held, holding: list[str] = holding
            ) -> None:
                with contextlib.suppress(LeaseHeldError):
                    take(objects, "short", Time())
                    held.enter_context(hold(objects, this_process("long")))
                    holding.append("long")

            fuse = Fuse(at, go_on)
            with contextlib.suppress(LeaseHeldError):
                held.enter_context(hold(fuse(objects), this_process("slow"), wait=Time().wait))
                holding.append("slow")
            assert len(holding) == 1, (at, holding)
            if not fuse.blown:
                assert at > 5
                return
    raise AssertionError("taking a lease takes ever more steps")


def test_a_lease_whose_creation_lost_its_answer_is_ours(local: Objects) -> None:
    """A bucket may answer a repeated request with "exists": what stands there says who made it."""

    class Answerless(LocalObjects):
        def create(self, key: str, data: bytes) -> bool:
            LocalObjects.create(self, key, data)
            return False

    time = Time()
    with hold(Answerless(Path(local.url)), this_process("run"), clock=time.clock, wait=time.wait):
        assert "lease/epoch-000001.json" in keys(local)
    assert time.now == 1000.0
