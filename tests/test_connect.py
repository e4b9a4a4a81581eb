"""Find or start a cluster: every way that is documented, and what is said when there is none."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dask.config
import psutil
import pytest
import yaml
from clusters import HandStarted, make_settings
from failpoints import python_path
from window_tasks import Bench, Work, compile_here, where_am_i

from us8k_batch.cluster.connect import connect
from us8k_batch.cluster.where import Where
from us8k_batch.cluster.window import Cluster
from us8k_batch.errors import RequestError

ONE = """
from clusters import make_settings
from window_tasks import Bench
from us8k_batch.cluster.connect import connect
from us8k_batch.cluster.where import Where
from us8k_batch.errors import RequestError
try:
    with connect(Where(scheduler="tls://127.0.0.1:1"), make_settings(), Bench):
        pass
except RequestError as error:
    print(str(error).partition(";")[0])
"""


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandStarted]:
    """Start a scheduler and one worker by hand."""
    with HandStarted(folder=tmp_path_factory.mktemp("dask")) as hand:
        yield hand.start_scheduler().start_workers(1).wait_for_workers(1)


def ask(cluster: Cluster, folder: Path) -> set[int]:
    """Return the process ids of the workers that answer."""
    cluster.wait_for_workers()
    works = (Work(str(folder), number) for number in range(8))
    return {pid for _, pid in cluster.run(f"ask-{time.monotonic_ns()}", where_am_i, works)}


def spec_file(folder: Path, **values: object) -> Path:
    """Write a specification of a cluster of one worker that is a thread of this process."""
    kwargs = {"n_workers": 1, "processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump({"module": "distributed", "class": "LocalCluster", "kwargs": kwargs, **values}))
    return file


def listening() -> set[tuple[str, int]]:
    """Return the addresses on which this process and those that it started listen."""
    found = set()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets = process.net_connections("inet")
            found |= {(one.laddr.ip, one.laddr.port) for one in sockets if one.status == psutil.CONN_LISTEN}
    return found


def test_a_running_scheduler_is_used_by_its_address(hand: HandStarted, tmp_path: Path) -> None:
    """--scheduler ADDRESS: the worker that was started by hand does the work."""
    with connect(Where(scheduler=hand.address), make_settings(), Bench) as cluster:
        assert ask(cluster, tmp_path) == {hand.workers[0].pid}


def test_the_caller_s_own_dask_stays_as_it_was(hand: HandStarted, tmp_path: Path) -> None:
    """Whoever uses Dask for something else in the same process does not find our cluster under it."""
    with connect(Where(scheduler=hand.address), make_settings(), Bench) as cluster:
        ask(cluster, tmp_path)
        assert dask.config.get("scheduler", None) is None
    assert dask.config.get("scheduler", None) is None


def test_a_running_scheduler_is_used_by_its_file(hand: HandStarted, tmp_path: Path) -> None:
    """--scheduler-file FILE: the same, found through the file that the scheduler wrote."""
    with connect(Where(scheduler_file=str(hand.scheduler_file)), make_settings(), Bench) as cluster:
        assert ask(cluster, tmp_path) == {hand.workers[0].pid}


def test_a_running_scheduler_is_used_by_its_variable(hand: HandStarted, tmp_path: Path) -> None:
    """DASK_SCHEDULER_ADDRESS, which Dask reads as scheduler-address: the same."""
    with (
        dask.config.set(dask.config.collect_env({"DASK_SCHEDULER_ADDRESS": hand.address})),
        connect(Where(), make_settings(), Bench) as cluster,
    ):
        assert ask(cluster, tmp_path) == {hand.workers[0].pid}


def test_a_specification_is_started_and_stopped(tmp_path: Path) -> None:
    """--cluster FILE.yaml: the class that it names is started with its arguments, and closed afterwards."""
    with connect(Where(spec=str(spec_file(tmp_path))), make_settings(), Bench) as cluster:
        assert ask(cluster, tmp_path) == {os.getpid()}
        started = cluster._link.client.cluster
    assert started.status.name == "closed"


def test_a_daemonic_process_may_have_workers_that_are_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recommended where no local cluster can be started."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with connect(Where(spec=str(spec_file(tmp_path))), make_settings(), Bench) as cluster:
        assert ask(cluster, tmp_path) == {os.getpid()}


@pytest.mark.parametrize("pays", [{"scale": 1}, {"adapt": {"minimum": 1}}, {"adapt": {"maximum": 1}}], ids=str)
def test_a_specification_may_scale_or_adapt(tmp_path: Path, pays: dict[str, object]) -> None:
    """``scale`` asks for workers, ``adapt`` lets Dask ask for them, be it only once there is something to do."""
    kwargs = {"n_workers": 0, "processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with connect(Where(spec=str(spec_file(tmp_path, kwargs=kwargs, **pays))), make_settings(), Bench) as cluster:
        cluster.wait_for_workers()
        assert len(cluster.workers()) == 1


def test_the_first_that_is_given_is_used(hand: HandStarted, tmp_path: Path) -> None:
    """An address wins over a file, a file over a specification, a specification over the environment."""
    nowhere = tmp_path / "nowhere"
    with connect(Where(scheduler=hand.address, scheduler_file=str(nowhere), spec="x"), make_settings(), Bench) as it:
        assert ask(it, tmp_path) == {hand.workers[0].pid}
    with connect(Where(scheduler_file=str(hand.scheduler_file), spec=str(nowhere)), make_settings(), Bench) as it:
        assert ask(it, tmp_path) == {hand.workers[0].pid}
    with (
        dask.config.set({"scheduler-address": "tcp://127.0.0.1:1"}),
        connect(Where(spec=str(spec_file(tmp_path))), make_settings(), Bench) as it,
    ):
        assert ask(it, tmp_path) == {os.getpid()}


def test_who_waits_is_told_of_kernels_that_workers_compile(hand: HandStarted, tmp_path: Path) -> None:
    """What a worker says in a task, which kernels keep from ending, reaches the client while it waits."""
    told: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
    where = Where(scheduler=hand.address)

    def note(seconds: float, machine: str) -> None:
        told.put((seconds, machine))

    with connect(where, make_settings(), Bench, on_compiling=note) as cluster:
        cluster.wait_for_workers()
        list(cluster.run(f"compile-{time.monotonic_ns()}", compile_here, iter([Work(str(tmp_path), 0)])))
        assert told.get(timeout=60) == (12.0, "this machine")


def test_a_local_cluster_has_the_workers_asked_for_and_is_gone_afterwards(tmp_path: Path) -> None:
    """Without any of these a cluster is started here: so many workers, one thread each, none left behind."""
    with connect(Where(), make_settings(workers=2), Bench) as cluster:
        cluster.wait_for_workers()
        assert list(cluster.workers().values()) == [1, 1]
        workers = cluster.on_each_worker(where_am_i, Work(str(tmp_path), 0)).values()
        assert all(psutil.pid_exists(pid) for pid in workers)
        assert os.getpid() not in workers
    assert not any(psutil.pid_exists(pid) for pid in workers)


def complain(bench: Bench, work: Work) -> None:
    """Tell of trouble as Dask does in a worker."""
    logging.getLogger("distributed.worker").error("Failed to communicate with scheduler during heartbeat.")


def test_a_local_cluster_listens_on_the_loopback_only_and_keeps_its_farewell_to_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody outside may reach what runs whatever it is sent; nobody here wants a traceback when all went well."""
    before = listening()
    with connect(Where(), make_settings(workers=1), Bench) as cluster:
        cluster.wait_for_workers()
        cluster.on_each_worker(complain, Work(str(tmp_path), 0))
        opened = listening() - before
        assert cluster.dashboard_link.startswith("http://127.0.0.1:")
    assert len(opened) >= 3
    assert {ip for ip, _ in opened} == {"127.0.0.1"}
    assert "heartbeat" not in capfd.readouterr().err


def test_a_dashboard_address_that_is_taken_is_no_hindrance(tmp_path: Path) -> None:
    """Two runs on one machine: the second one's dashboard gets another port, and its link says which."""
    with (
        connect(Where(), make_settings(workers=1, dashboard="127.0.0.1:18787"), Bench) as first,
        connect(Where(), make_settings(workers=1, dashboard="127.0.0.1:18787"), Bench) as second,
    ):
        assert first.dashboard_link == "http://127.0.0.1:18787/status"
        assert second.dashboard_link != first.dashboard_link


@pytest.mark.parametrize(
    "where",
    [
        Where(scheduler="tcp://127.0.0.1:1"),
        Where(scheduler="nonsense"),
        Where(scheduler="http://127.0.0.1:8786"),
        Where(scheduler="tls://127.0.0.1:8786"),
        Where(scheduler_file="nowhere.json"),
    ],
    ids=str,
)
def test_no_scheduler_is_a_bad_request_that_names_what_was_asked_for(where: Where) -> None:
    """An address or file with no scheduler behind it is refused once Dask's connection timeout is over."""
    asked = where.scheduler or where.scheduler_file
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(RequestError, match=f"{asked}: no scheduler"),
        connect(where, make_settings(), Bench),
    ):
        pass


def test_plain_tcp_is_refused_where_encryption_is_required(hand: HandStarted) -> None:
    """Whoever named certificates does not send anything in the clear by a wrong address."""
    with (
        dask.config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(RequestError, match=rf"{hand.address}: no scheduler answers there \(.*require encryption"),
        connect(Where(scheduler=hand.address), make_settings(), Bench),
    ):
        pass


def test_without_certificates_it_is_over_at_once() -> None:
    """The command ends with 2 and one line: Dask's client would wait for a minute, and print a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", ONE],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    told = "tls://127.0.0.1:1: no scheduler answers there (Dask's settings name no certificates of a client)\n"
    assert done.stdout == told
    assert done.stderr == ""


@pytest.mark.parametrize(
    "content",
    [
        "",
        "- a list",
        "module: distributed",
        "module: no_such_module\nclass: LocalCluster",
        "module: distributed\nclass: NoSuchCluster",
        "module: distributed\nclass: LocalCluster\nkwargs: 5",
        "module: distributed\nclass: LocalCluster\nkwargs: {n_workers: many}",
        "not: [yaml",
    ],
)
def test_a_specification_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    """Whatever is wrong in it, the message names the file and what was expected."""
    file = tmp_path / "cluster.yaml"
    file.write_text(content)
    with (
        pytest.raises(RequestError, match=rf"{file}: .*expected a cluster specification with module, class"),
        connect(Where(spec=str(file)), make_settings(), Bench),
    ):
        pass


def test_a_specification_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A file that does not exist is a bad request, not a traceback."""
    with (
        pytest.raises(RequestError, match="No such file"),
        connect(Where(spec=str(tmp_path / "none.yaml")), make_settings(), Bench),
    ):
        pass
