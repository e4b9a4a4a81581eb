"""The window of tasks, on real workers that die and come back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.config
import pytest
from clusters import HandStarted, make_settings, wait_until
from distributed import Client, Future
from window_tasks import Bench, Work, answer, answer_aside, complain, die, wait_for_storage

from us8k_batch.cluster import link
from us8k_batch.cluster.connect import connect
from us8k_batch.cluster.where import Where
from us8k_batch.cluster.window import Cluster
from us8k_batch.errors import JobError, RequestError

WITHOUT_PACKAGE = "import sys; sys.modules['us8k_batch'] = None"


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandStarted]:
    """Start a scheduler and two workers without nannies; a dead worker is not replaced."""
    with HandStarted(folder=tmp_path / "dask") as hand:
        yield hand.start_scheduler().start_workers(2)


@contextlib.contextmanager
def connected(
    hand: HandStarted, tell: Callable[[str], object] = lambda _: None, **settings: object
) -> Iterator[Cluster]:
    """Connect, and wait for both workers."""
    with connect(Where(scheduler=hand.address), make_settings(**settings), Bench, tell) as cluster:
        wait_until(lambda: len(cluster.workers()) == len(hand.workers), "the workers")
        yield cluster


def works(tmp_path: Path, n: int, *, wait_for: str = "") -> list[Work]:
    """Make payloads that leave their notes in one folder."""
    return [Work(str(tmp_path), number, wait_for) for number in range(n)]


def begun(tmp_path: Path) -> set[int]:
    """Tell which tasks have begun."""
    return {int(path.name.partition(".")[0]) for path in tmp_path.glob("*.*") if path.name[0].isdigit()}


def test_no_more_payloads_are_taken_than_the_window_holds(hand: HandStarted, tmp_path: Path) -> None:
    """At no time are more payloads submitted and unfinished than shards_per_thread for each thread."""
    taken = 0

    def payloads() -> Iterator[Work]:
        nonlocal taken
        for work in works(tmp_path, 40):
            taken += 1
            yield work

    with connected(hand, shards_per_thread=3) as cluster:
        answers = []
        for _, number in cluster.run("bounded", answer, payloads()):
            answers.append(number)
            assert taken - (len(answers) - 1) <= 2 * 3
    assert sorted(answers) == list(range(40))


def test_what_a_worker_waits_for_is_said_where_the_run_is_watched(
    hand: HandStarted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The pauses of a storage in trouble are told by workers, and read by who started the run."""
    with connected(hand) as cluster:
        assert [number for _, number in cluster.run("say", wait_for_storage, iter(works(tmp_path, 1)))] == [0]
        wait_until(lambda: "clip 0: no answer; asking again" in caplog.text, "the line")


def test_a_stop_finishes_what_is_in_hand_and_takes_nothing_more(hand: HandStarted, tmp_path: Path) -> None:
    """Once asked to stop, every payload that was taken is answered, and no other one is taken."""
    asked = threading.Event()
    payloads = iter(works(tmp_path, 100))
    with connected(hand) as cluster:
        answers = []
        for _, number in cluster.run("stop", answer, payloads, stop=asked.is_set):
            answers.append(number)
            if len(answers) == 4:
                asked.set()
    assert sorted(answers) == list(range(len(answers)))
    assert next(payloads).number == len(answers)
    assert len(answers) < 4 + 2 * 3


def test_every_payload_is_answered_once_though_a_worker_is_killed(hand: HandStarted, tmp_path: Path) -> None:
    """SIGKILL of one of two workers in the middle: the other one answers everything, each payload once."""
    answers = []
    with connected(hand) as cluster:
        for _, number in cluster.run("killed", answer, iter(works(tmp_path, 30))):
            answers.append(number)
            if len(answers) == 5:
                hand.workers[0].kill()
    assert sorted(answers) == list(range(30))


def test_a_task_that_steps_aside_lets_the_next_one_begin(hand: HandStarted, tmp_path: Path) -> None:
    """Workers of one thread: while tasks end beside it the next ones run; all are answered, though a worker dies."""
    answers: list[int] = []
    with connected(hand) as cluster:

        def work() -> None:
            payloads = iter(works(tmp_path, 12, wait_for="go"))
            answers.extend(n for _, n in cluster.run("aside", answer_aside, payloads))

        run = threading.Thread(target=work)
        run.start()
        wait_until(lambda: len(begun(tmp_path)) == 6, "the whole window")
        hand.workers[0].kill()
        (tmp_path / "go").touch()
        run.join(60)
    assert sorted(answers) == list(range(12))


def test_work_goes_on_when_all_workers_were_killed_and_others_come(hand: HandStarted, tmp_path: Path) -> None:
    """Tasks that were running and waiting when every worker died are done by workers that come later."""
    answers: list[int] = []
    with connected(hand) as cluster:

        def work() -> None:
            answers.extend(n for _, n in cluster.run("gone", answer, iter(works(tmp_path, 12, wait_for="go"))))

        run = threading.Thread(target=work)
        run.start()
        wait_until(lambda: len(begun(tmp_path)) == 2, "two tasks")
        hand.kill_workers()
        wait_until(lambda: not cluster.workers(), "the scheduler to miss its workers")
        (tmp_path / "go").touch()
        hand.start_workers(1)
        run.join(60)
    assert sorted(answers) == list(range(12))


def test_work_goes_on_when_the_scheduler_was_killed_and_is_back(hand: HandStarted, tmp_path: Path) -> None:
    """A scheduler and workers that return on the same address are given the unfinished tasks again."""
    answers: list[int] = []
    with connected(hand) as cluster:

        def work() -> None:
            answers.extend(n for _, n in cluster.run("back", answer, iter(works(tmp_path, 12, wait_for="go"))))

        run = threading.Thread(target=work)
        run.start()
        wait_until(lambda: len(begun(tmp_path)) == 2, "two tasks")
        hand.kill_all()
        (tmp_path / "go").touch()
        hand.start_scheduler().start_workers(2)
        run.join(60)
    assert sorted(answers) == list(range(12))


def test_results_that_were_lost_before_they_were_fetched_are_made_again(hand: HandStarted, tmp_path: Path) -> None:
    """Tasks that had ended when scheduler and workers died, and whose results nobody had fetched, run again."""
    answers: list[int] = []
    with connected(hand) as cluster:
        for _, number in cluster.run("lost", answer, iter(works(tmp_path, 9))):
            answers.append(number)
            if len(answers) == 1:
                wait_until(lambda: len(begun(tmp_path)) == 6, "all tasks in hand")
                hand.kill_all()
                hand.start_scheduler().start_workers(2)
    assert sorted(answers) == list(range(9))


def test_results_that_were_lost_with_their_workers_are_made_again(hand: HandStarted, tmp_path: Path) -> None:
    """The same, when the scheduler lives on: the results lay on the workers."""
    answers: list[int] = []
    with connected(hand) as cluster:
        for _, number in cluster.run("lost", answer, iter(works(tmp_path, 9))):
            answers.append(number)
            if len(answers) == 1:
                wait_until(lambda: len(begun(tmp_path)) == 6, "all tasks in hand")
                hand.kill_workers()
                hand.start_workers(1)
    assert sorted(answers) == list(range(9))


def test_a_worker_that_does_not_give_its_result_is_not_waited_for(hand: HandStarted, tmp_path: Path) -> None:
    """A worker that hangs with a finished result: after a few seconds the task is submitted again."""
    answers: list[int] = []
    with connected(hand, shards_per_thread=1) as cluster:
        futures = cluster._link.client.futures
        for _, number in cluster.run("hung", answer, iter(works(tmp_path, 2))):
            answers.append(number)
            if len(answers) == 1:
                wait_until(lambda: all(future.status == "finished" for future in futures.values()), "the other task")
                (pid,) = (int(path.suffix[1:]) for path in tmp_path.glob(f"{1 - number}.*"))
                os.kill(pid, signal.SIGSTOP)

                def strike(pid: int = pid) -> None:
                    wait_until(lambda: any(key.endswith("-2") for key in list(futures)), "a second attempt")
                    os.kill(pid, signal.SIGKILL)

                threading.Thread(target=strike).start()
    assert sorted(answers) == [0, 1]


def test_a_task_that_kills_its_worker_again_and_again_ends_the_run(tmp_path: Path) -> None:
    """After so many attempts the run ends with an error that says what may be the cause and what to do."""
    environment = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with HandStarted(folder=tmp_path / "dask", environment=environment) as hand:
        hand.start_scheduler().start_workers(1)

        def replace() -> None:
            hand.workers[0].wait()
            hand.start_workers(1)

        replacing = threading.Thread(target=replace)
        replacing.start()
        with connected(hand, attempts=2) as cluster, pytest.raises(JobError, match=r"died 2 times.*out of memory"):
            list(cluster.run("poison", die, iter(works(tmp_path, 1))))
        replacing.join()
    assert len(list(tmp_path.glob("0.*"))) == 2


def test_an_error_of_a_task_ends_the_run_and_is_named(hand: HandStarted, tmp_path: Path) -> None:
    """A task should return what went wrong; one that raises is a fault of ours, told with its kind."""
    with connected(hand) as cluster, pytest.raises(JobError, match="ZeroDivisionError: task"):
        list(cluster.run("fault", complain, iter(works(tmp_path, 3))))


def test_without_workers_the_run_ends_after_the_deadline(hand: HandStarted, tmp_path: Path) -> None:
    """When all workers are gone for longer than worker-deadline, the run says so, and that it can be resumed."""
    with connected(hand, worker_deadline=2) as cluster:
        tasks = cluster.run("nobody", answer, iter(works(tmp_path, 12, wait_for="never")))
        killer = threading.Thread(
            target=lambda: (wait_until(lambda: len(begun(tmp_path)) == 2, "two tasks"), hand.kill_workers())
        )
        killer.start()
        with pytest.raises(JobError, match=r"no worker for 2 s; .* run the same command again"):
            list(tasks)
        killer.join()


def test_a_scheduler_that_stays_away_until_dask_gives_up_is_found_again(hand: HandStarted, tmp_path: Path) -> None:
    """Dask closes a client after its connection timeout; the run connects anew, up to the deadline."""
    answers: list[int] = []
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), connected(hand) as cluster:

        def work() -> None:
            answers.extend(n for _, n in cluster.run("away", answer, iter(works(tmp_path, 12, wait_for="go"))))

        run = threading.Thread(target=work)
        run.start()
        wait_until(lambda: len(begun(tmp_path)) == 2, "two tasks")
        hand.kill_all()
        (tmp_path / "go").touch()
        wait_until(lambda: cluster._link.client.status == "closed", "the client to give up")
        hand.start_scheduler().start_workers(2)
        run.join(60)
    assert sorted(answers) == list(range(12))


def test_without_a_scheduler_the_run_ends_after_the_deadline(
    hand: HandStarted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same when scheduler and workers are gone, and soon after the deadline; nobody is shown a traceback."""
    with connected(hand, worker_deadline=2) as cluster:
        tasks = cluster.run("nobody", answer, iter(works(tmp_path, 12, wait_for="never")))
        killer = threading.Thread(
            target=lambda: (wait_until(lambda: len(begun(tmp_path)) == 2, "two tasks"), hand.kill_all())
        )
        killer.start()
        started = time.monotonic()
        with pytest.raises(JobError, match="no worker for 2 s"):
            list(tasks)
        killer.join()
    assert time.monotonic() - started < 60
    assert not [record for record in caplog.records if record.exc_info]


def test_a_stop_does_not_wait_for_workers_that_are_gone(hand: HandStarted, tmp_path: Path) -> None:
    """Asked to stop while there is no worker, the run ends at once instead of after the deadline."""
    asked = threading.Event()

    def vanish() -> None:
        wait_until(lambda: len(begun(tmp_path)) == 2, "two tasks")
        hand.kill_workers()
        asked.set()

    with connected(hand, worker_deadline=300) as cluster:
        accident = threading.Thread(target=vanish)
        accident.start()
        started = time.monotonic()
        assert not list(cluster.run("stop", answer, iter(works(tmp_path, 12, wait_for="never")), stop=asked.is_set))
        accident.join()
    assert time.monotonic() - started < 60


def test_the_first_worker_is_waited_for_no_longer_than_the_deadline(tmp_path: Path) -> None:
    """A scheduler without workers ends the run after worker-deadline, and says so."""
    with HandStarted(folder=tmp_path / "dask") as hand:
        hand.start_scheduler()
        where = Where(scheduler=hand.address)
        with (
            connect(where, make_settings(worker_deadline=1), Bench) as cluster,
            pytest.raises(JobError, match="no worker for 1 s"),
        ):
            cluster.wait_for_workers()


def test_a_worker_without_the_package_is_refused(tmp_path: Path) -> None:
    """A worker in an environment without us8k_batch is a bad request, told with what to do."""
    with HandStarted(folder=tmp_path / "dask") as hand:
        hand.start_scheduler().start_workers(1, program=WITHOUT_PACKAGE).wait_for_workers(1)
        with (
            pytest.raises(RequestError, match=r"worker tcp://.*us8k_batch.*install the same lock"),
            connected(hand),
        ):
            pass


@pytest.fixture
def paused(tmp_path: Path) -> Iterator[HandStarted]:
    """Start a scheduler and a worker that Dask pauses: it is larger than its memory limit."""
    with HandStarted(folder=tmp_path / "dask") as hand:
        hand.start_scheduler().start_workers(1, memory="50MB").wait_for_workers(1)
        with Client(hand.address, set_as_default=False) as client:
            status = lambda dask_worker: dask_worker.status.name  # noqa: E731  # shipped by value
            wait_until(lambda: set(client.run(status).values()) == {"paused"}, "the worker to be paused")
        yield hand


def test_workers_that_are_all_paused_count_as_none_and_it_is_said(paused: HandStarted, tmp_path: Path) -> None:
    """They take no task: the run says so while it waits, and ends by the deadline with what to do."""
    lines: list[str] = []
    with connect(Where(scheduler=paused.address), make_settings(worker_deadline=1), Bench, lines.append) as cluster:
        with pytest.raises(JobError, match=r"no worker for 1 s .*paused worker tcp://.*--memory-limit"):
            cluster.wait_for_workers()
        assert ["memory is nearly full" in line for line in lines] == [True]
        with pytest.raises(JobError, match="no worker for 1 s that takes tasks"):
            list(cluster.run("paused", answer, iter(works(tmp_path, 4))))
    assert not begun(tmp_path)


def test_a_stop_does_not_wait_for_workers_that_are_paused(paused: HandStarted, tmp_path: Path) -> None:
    """Asked to stop, the run ends at once; and when another worker comes, it is the one that works."""
    with connect(Where(scheduler=paused.address), make_settings(worker_deadline=300), Bench) as cluster:
        asked = threading.Event()
        threading.Timer(0.2, asked.set).start()
        started = time.monotonic()
        assert not list(cluster.run("stop", answer, iter(works(tmp_path, 4)), stop=asked.is_set))
        assert time.monotonic() - started < 60
        paused.start_workers(1)
        cluster.wait_for_workers()
        assert sorted(number for _, number in cluster.run("go", answer, iter(works(tmp_path, 4)))) == [0, 1, 2, 3]
    assert {path.suffix for path in tmp_path.glob("?.*")} == {f".{paused.workers[1].pid}"}


def test_nothing_of_ours_stays_on_a_shared_scheduler(hand: HandStarted, tmp_path: Path) -> None:
    """During a run and after it, a worker without our package can start; it gets none of our tasks, and that is said.

    What the workers kept for us is given back at the end.
    """
    lines: list[str] = []
    with connected(hand, lines.append) as cluster:
        works_on = cluster.run("shared", answer, iter(works(tmp_path, 60)))
        answers = [next(works_on)[1]]
        hand.start_workers(1, program=WITHOUT_PACKAGE)
        wait_until(lambda: len(cluster.workers()) == 3, "somebody else's worker")
        answers += [number for _, number in works_on]
    assert sorted(answers) == list(range(60))
    assert len([line for line in lines if "has no us8k_batch, and gets no tasks" in line]) == 1
    assert hand.workers[2].poll() is None
    hand.start_workers(1, program=WITHOUT_PACKAGE).wait_for_workers(4)
    with Client(hand.address, set_as_default=False) as client:
        kept = lambda dask_scheduler: list(dask_scheduler.worker_plugins)  # noqa: E731  # shipped by value
        assert [name for name in client.run_on_scheduler(kept) if "us8k" in name] == []


def test_a_worker_that_does_not_answer_is_named(hand: HandStarted) -> None:
    """One that was stopped, or waits for a disk: the run ends by the deadline instead of waiting for ever."""
    hand.wait_for_workers(2)
    hand.workers[0].send_signal(signal.SIGSTOP)
    with (
        pytest.raises(JobError, match=r"worker tcp://\S+ does not answer for 1 s; is its host"),
        connected(hand, worker_deadline=1),
    ):
        pass


def test_what_is_waited_for_is_said_before_the_deadline(hand: HandStarted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the worker; one that answers after all is used."""
    monkeypatch.setattr(link, "SILENT_SECONDS", 0.5)
    hand.wait_for_workers(2)
    hand.workers[0].send_signal(signal.SIGSTOP)
    lines: list[str] = []

    def wake(line: str) -> None:
        lines.append(line)
        hand.workers[0].send_signal(signal.SIGCONT)

    with connected(hand, wake) as cluster:
        assert len(cluster.workers()) == 2
    assert [line.startswith("waiting for worker tcp://") for line in lines] == [True]


def test_a_task_is_answered_though_no_thread_could_tell(
    hand: HandStarted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a limit forbids threads, Dask's client tells nobody that a task has ended; it is looked at."""
    with connected(hand) as cluster:
        monkeypatch.setattr(Future, "add_done_callback", lambda *_: None)
        assert sorted(n for _, n in cluster.run("untold", answer, iter(works(tmp_path, 3)))) == [0, 1, 2]
