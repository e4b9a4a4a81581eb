"""Runs on a real batch system: jobs of workers that come and go, and all of it in one allocation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from clusters import wait_until
from datasets import make_manifest
from runs import assert_sound
from slurm import UNUSABLE, Slurm

import us8k_batch

pytestmark = pytest.mark.skipif(bool(UNUSABLE), reason=UNUSABLE)

CLUSTER = Path(__file__).parents[2] / "cluster/slurm"
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Start SLURM."""
    with Slurm(tmp_path_factory.mktemp("slurm") / "daemons") as slurm:
        yield slurm


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Make a dataset of six clips."""
    return make_manifest(tmp_path / "data", clips=6, seconds=0.1, formats=("WAV",))


def test_workers_are_jobs(slurm: Slurm, dataset: Path, tmp_path: Path, record_property: Record) -> None:
    """As written, but for its size and where it listens: submitted, at work over TLS, and gone when the run ends."""
    spec = yaml.safe_load((CLUSTER / "cluster.yaml").read_text())
    spec["kwargs"] |= {"cores": 1, "processes": 1, "memory": "2GB", "shared_temp_directory": str(tmp_path)}
    spec["kwargs"]["scheduler_options"] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(spec))
    done = subprocess.run(
        [sys.executable, "-m", "us8k_batch", "extract", str(dataset), "store", "--cluster", str(file)],
        cwd=tmp_path, env={**os.environ, **slurm.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "6 clips are live" in done.stderr + done.stdout
    assert_sound(tmp_path / "store")
    assert list((tmp_path / "us8k-slurm-logs").glob("dask-worker-*.err")), "no job has run"
    assert list(tmp_path.glob(".dask-jobqueue.worker.*")) == [], "keys were left"
    wait_until(lambda: not slurm.jobs, "the jobs' end")
    record_property("figure", "SLURM: --cluster done, no job left")


def test_all_of_it_in_one_allocation(
    slurm: Slurm, dataset: Path, authority: Path, tmp_path: Path, record_property: Record
) -> None:
    """Scheduler, client and a worker over TLS; the job's exit status is the run's, and it ends by itself."""

    def submit(dataset: Path) -> int:
        wrapped = f"srun {sys.executable} {CLUSTER / 'one_allocation.py'} {dataset} {tmp_path / 'store'}"
        options = ["--wait", "-n", "3", "--mem-per-cpu=1G", "-t", "0:20:00", "--output=job.txt"]
        return subprocess.run(
            ["sbatch", *options, "--wrap", wrapped],
            cwd=tmp_path, env={**os.environ, **slurm.environment, "DASK_CONFIG": str(authority)},
            capture_output=True, check=False,
        ).returncode  # fmt: skip

    assert submit(dataset) == 0, (tmp_path / "job.txt").read_text()
    assert len(us8k_batch.open_store(str(tmp_path / "store"))) == 6
    assert_sound(tmp_path / "store")
    assert submit(tmp_path / "nowhere.csv") == 2, (tmp_path / "job.txt").read_text()
    assert not slurm.jobs
    assert not list(tmp_path.glob("us8k-scheduler-*.json"))
    record_property("figure", "one allocation done, exit status passed on")
