"""Scheduler, client and workers in one allocation: ``srun python one_allocation.py DATASET STORE [OPTION]...``.

Each task of the allocation runs this; the first becomes the scheduler, the second the client, all others workers.
"""

import contextlib
import os
import sys
from pathlib import Path

import dask.config
from dask_jobqueue.slurm import SLURMRunner
from distributed import Client

from us8k_batch.cli import main
from us8k_batch.cluster.spec import STARTED


def run() -> int:
    """Be one task of the allocation; return the exit status of the client, the only one that returns."""
    dask.config.set(STARTED)
    runner = SLURMRunner(
        # On the disk that all nodes share.
        scheduler_file=str(Path.cwd() / "us8k-scheduler-{job_id}.json"),
        scheduler_options={"port": 0, "dashboard_address": "127.0.0.1:0"},
        worker_class="distributed.Nanny",
        worker_options={"nthreads": 1, "dashboard_address": "127.0.0.1:0", "death_timeout": "300s"},
    )
    # The others end when the client shuts them down.
    try:
        main(["extract", *sys.argv[1:], "--scheduler-file", str(runner.scheduler_file)])
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        with Client(scheduler_file=str(runner.scheduler_file)) as client:
            # A worker that comes later would look for a scheduler that is gone.
            with contextlib.suppress(TimeoutError):
                client.wait_for_workers(int(os.environ["SLURM_NTASKS"]) - 2, timeout=60)
            client.shutdown()
        runner.scheduler_file.unlink(missing_ok=True)
    return 1


# The workers' nannies start processes that import this file.
if __name__ == "__main__":
    status = run()
    # The runner would say good-bye to the scheduler, which is gone, and without its certificates.
    sys.stdout.flush()
    os._exit(status)
