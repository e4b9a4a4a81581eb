"""A cluster of four hosts over TLS: who is refused, and what becomes of a run whose cables are pulled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gated
import pytest
from certificates import make_certificates
from clusters import wait_until
from datasets import make_manifest
from failpoints import RunServer
from hosts import UNUSABLE, Hosts
from stores import files

pytestmark = pytest.mark.skipif(bool(UNUSABLE), reason=UNUSABLE)

PATIENCE = 300.0
SHARDS = 40
TIMEOUTS = {
    # The least that Dask works with is 11 s.
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "6s",
}
DASK = [sys.executable, "-m", "dask"]
US8K = [sys.executable, "-m", "us8k_batch"]
WORKERS = ("worker1", "worker2")


@pytest.fixture
def hosts(tmp_path: Path, authority: Path) -> Iterator[Hosts]:
    """Start a scheduler and two workers, each on a host of its own and each started again whenever it ends."""
    with Hosts(tmp_path, "scheduler", *WORKERS, "client") as hosts:
        scheduler = ["scheduler", "--host", hosts.addresses["scheduler"], "--no-dashboard", "--no-show"]
        log = hosts.start(
            "scheduler", [*DASK, *scheduler], {**TIMEOUTS, "DASK_CONFIG": str(authority / "scheduler")}, again=True
        )
        wait_until(lambda: "Scheduler at" in log.read_text(), "the scheduler", patience=PATIENCE)
        gated.open_gate(tmp_path / "gate", 0)
        environment = {
            **TIMEOUTS, "DASK_CONFIG": str(authority / "worker"), gated.GATE: str(tmp_path / "gate"),
        }  # fmt: skip
        for name in WORKERS:
            command = [*DASK, "worker", address(hosts), "--host", hosts.addresses[name], "--nthreads", "1",
                       "--no-nanny", "--no-dashboard", "--preload", gated.__file__]  # fmt: skip
            hosts.start(name, command, environment, again=True)
        for name in WORKERS:
            wait_until(lambda name=name: registered(tmp_path, name) == 1, name, patience=PATIENCE)
        yield hosts


def address(hosts: Hosts) -> str:
    """Name the scheduler."""
    return f"tls://{hosts.addresses['scheduler']}:8786"


def registered(folder: Path, name: str) -> int:
    """Count how often a worker has found the scheduler."""
    return (folder / f"{name}.log").read_text().count("Registered to")


def commits(store: Path) -> int:
    """Count what is committed."""
    return len(list((store / "commits").glob("*.parquet")))


def test_strangers_are_refused_and_cables_cost_time_only(
    hosts: Hosts, authority: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Another authority's certificate, none, and plain TCP are refused; pulled cables cost time and nothing else.

    A worker's, then the scheduler's: the run goes on by itself once it is back; its store is an undisturbed one's.
    """
    dataset = make_manifest(tmp_path / "dataset", clips=2 * SHARDS, seconds=0.1, formats=("WAV",))
    other = make_certificates(tmp_path / "other")
    plain = address(hosts).replace("tls://", "tcp://")
    strangers = {
        "another authority": (address(hosts), {"DASK_CONFIG": str(other / "client")}),
        "no certificate": (address(hosts), {}),
        "plain TCP": (plain, {}),
    }
    for stranger, (asked, environment) in strangers.items():
        done = hosts.run(
            "client",
            [*US8K, "extract", str(dataset), str(tmp_path / "stolen"), "--scheduler", asked],
            {**TIMEOUTS, **environment},
        )
        assert done.returncode == 2, (stranger, done)
        assert f"{asked}: no scheduler answers there" in done.stderr
        assert "Traceback" not in done.stderr
    intruder = [*DASK, "worker", address(hosts), "--host", hosts.addresses["client"], "--no-nanny", "--no-dashboard",
                "--death-timeout", "5"]  # fmt: skip
    hosts.run("client", intruder, {**TIMEOUTS, "DASK_CONFIG": str(other / "worker")})
    assert "198.18.7.4" not in "".join(
        line for line in (tmp_path / "scheduler.log").read_text().splitlines() if "Register worker" in line
    )

    store = tmp_path / "store"
    log = hosts.start(
        "client",
        [
            *US8K,
            "extract",
            str(dataset),
            str(store),
            "--clips-per-shard",
            "2",
            "--scheduler",
            address(hosts),
            "--json",
        ],
        {**TIMEOUTS, "DASK_CONFIG": str(authority / "client")},
    )
    client = hosts.last

    def told(what: str, happened: Callable[[], bool]) -> None:
        wait_until(lambda: happened() or client.poll() is not None, what, patience=PATIENCE)
        assert client.poll() is None, log.read_text()

    def go_on(commits_more: int) -> None:
        wanted = commits(store) + commits_more
        gated.open_gate(tmp_path / "gate", wanted)
        told(f"{wanted} commits", lambda: commits(store) >= wanted)

    go_on(5)
    hosts.cut("worker2")
    go_on(8)
    scheduler = tmp_path / "scheduler.log"
    told("the worker to be given up", lambda: "Remove worker" in scheduler.read_text())
    hosts.mend("worker2")
    told("the worker to come back", lambda: registered(tmp_path, "worker2") >= 2)

    go_on(5)
    hosts.cut("scheduler")
    told("both workers to be given up", lambda: scheduler.read_text().count("Remove worker") >= 3)
    hosts.mend("scheduler")
    told(
        "the workers to come back",
        lambda: registered(tmp_path, "worker1") >= 2 and registered(tmp_path, "worker2") >= 3,
    )
    gated.open_gate(tmp_path / "gate", SHARDS)
    wait_until(lambda: client.poll() is not None, "the run to end", patience=PATIENCE)
    assert client.returncode == 0, log.read_text()
    assert commits(store) == SHARDS

    assert RunServer().run(dataset, tmp_path / "undisturbed").status == 0
    assert files(store) == files(tmp_path / "undisturbed")
    back = {name: registered(tmp_path, name) for name in WORKERS}
    record_property("figure", f"3 of 3 strangers refused; workers found the scheduler {back} times; equal")
