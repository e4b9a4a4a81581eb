"""Carry out what takes long or breaks machines, and say in a table what holds: ``make chaos``.

Arguments choose among the promises by their numbers: ``make chaos ONLY="R3 R4"``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SERVERS = ("moto", "ceph")
"""What the tests of buckets are run on."""
CHAOS = Path(__file__).parent
TESTS = CHAOS.parent


@dataclass
class Promise:
    """One line of the table."""

    number: str
    text: str
    tests: tuple[str, ...]
    """Files of tests, or parts of the names of tests in them, below the folder of tests."""
    figures: list[str] = field(default_factory=list)
    """What its tests measured; see the fixture ``record_property``."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """Outcome of each of its tests."""

    def is_kept_by(self, node: str) -> bool:
        """Tell whether a test belongs to it."""
        return any(node.removeprefix("tests/").startswith(test) for test in self.tests)

    @property
    def result(self) -> str:
        """Say in a word how its tests ended."""
        ended = list(self.outcomes.values())
        if not ended:
            return "NOT RUN"
        if "failed" in ended:
            return "FAILED"
        return "skipped" if "passed" not in ended else "holds"

    @property
    def figure(self) -> str:
        """Say what was measured, or how many tests there were."""
        skipped = list(self.outcomes.values()).count("skipped")
        figures = [*dict.fromkeys(self.figures)] or [f"{len(self.outcomes)} tests"]
        return "; ".join([*figures, *([f"{skipped} skipped"] if skipped else [])])


PROMISES = (
    Promise("R1", "workers are killed while they compute", ("chaos/test_killed_workers.py::test_workers",)),
    Promise("R2", "workers are killed all the time", ("chaos/test_killed_workers.py::test_many",)),
    Promise("R3", "clients, and whole machines, are killed", ("chaos/test_killed_clients.py",)),
    Promise("R4", "the scheduler is killed; it comes back, or not", ("chaos/test_lost_scheduler.py",)),
    Promise("R5", "a fault around every write", ("test_crash.py", "chaos/test_every_write.py")),
    Promise("R6", "a store's life against a dictionary", ("test_whole_life.py", "chaos/test_many_lives.py")),
    Promise("R7", "two runs at once, by force", ("test_two_runs.py", "chaos/test_interleaved.py")),
    Promise(
        "R8", "a second run steps back, a dead one is followed", ("test_lease.py", "chaos/test_race.py::test_of")
    ),
    Promise("R9", "what was acknowledged is there", ("chaos/test_race.py::test_committers",)),
    Promise("R10", "poison among 2,000 clips", ("chaos/test_poison.py",)),
    Promise("R11", "files that are damaged, or none", ("chaos/test_bad_files.py",)),
    Promise("R12", "the disk is full, and grows", ("chaos/test_full_disk.py",)),
    Promise("R13", "sources are replaced in mid-run", ("chaos/test_replaced_sources.py",)),
    Promise("R14", "only what changed is computed", ("test_incremental.py",)),
    Promise("R15", "readers read meanwhile", ("chaos/test_readers.py",)),
    Promise("R16", "every rotten bit is found", ("test_verify.py",)),
    Promise("R17", "durable before visible", ("chaos/test_order.py",)),
    Promise("R18", "any workers, the same bytes", ("chaos/test_matrix.py",)),
    Promise(
        "R19",
        "a bucket, and a bad network before it",
        (
            "test_bucket.py",
            "test_bucket_run.py",
            "test_bucket_faults.py",
            "test_probe.py",
            "test_aws.py",
            "test_objects.py::test_of_eight_writers_one_creates_each_object_of_a_bucket",
            "test_compact.py::test_buckets",
            "test_mender.py::test_a_store_in_a_bucket",
            "test_reader.py::test_a_store_opens_from_a_bucket",
            "test_verify.py::test_a_store_in_a_bucket",
            "chaos/test_real_bucket.py",
        ),
    ),
    Promise(
        "R20",
        "clusters over TLS: cables cut, and a batch system",
        ("chaos/test_cables.py", "chaos/test_slurm.py", "chaos/test_misfits.py"),
    ),
    Promise("R21", "a bounded window, however many shards", ("test_window.py",)),
    Promise("R22", "everybody reads the store", ("test_reader.py::test_everybodys",)),
)


class Scribe:
    """Notes for each promise how its tests ended."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test's outcome and what it measured."""
        for promise in PROMISES:
            if promise.is_kept_by(report.nodeid) and (report.when == "call" or report.outcome != "passed"):
                promise.outcomes[report.nodeid] = report.outcome
                figures = [str(value) for name, value in report.user_properties if name == "figure"]
                on = "".join(f"{server}: " for server in SERVERS if f"[{server}" in report.nodeid)
                promise.figures.extend(f"{on}{figure}" for figure in figures)
                if figures or report.outcome != "passed":  # an hour is long without a word
                    print(
                        f"\n{promise.number} {report.outcome}: {on}{'; '.join(figures) or report.nodeid}", flush=True
                    )


def table(promises: list[Promise]) -> str:
    """Write what holds, one promise a line."""
    text = max(len(promise.text) for promise in promises)
    lines = [
        f"{promise.number:<4} {promise.text:<{text}}  {promise.result:<8} {promise.figure}" for promise in promises
    ]
    return "\n".join(lines)


def main(wanted: list[str]) -> int:
    """Run the tests of some promises, or of all; print the table; return the exit status."""
    promises = [promise for promise in PROMISES if not wanted or promise.number in wanted]
    if len(promises) < len(wanted):
        print(f"no such promise among {' '.join(wanted)}; there are R1 to {PROMISES[-1].number}", file=sys.stderr)
        return 2
    tests = dict.fromkeys(
        str(TESTS / test) for promise in promises for test in promise.tests if (TESTS / test.split("::")[0]).exists()
    )
    # A part of a test's name is no address for pytest: take the file, and choose below.
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    servers = [word for server in SERVERS for word in ("--s3", server)]
    status = pytest.main(
        ["-q", "-m", "", "-n", "0", "--timeout", "3600", *servers, *files], plugins=[Scribe(), Chosen(promises)]
    )
    print(table(promises))
    return int(status)


@dataclass
class Chosen:
    """Leaves out the tests of the same files that belong to none of the promises."""

    promises: list[Promise]

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what belongs to a promise."""
        kept = [item for item in items if any(promise.is_kept_by(item.nodeid) for promise in self.promises)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
