"""The workers of a running cluster as a `concurrent.futures.Executor`, for those who need not know Dask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor

from distributed import Client

from us8k_batch.cluster.connect import read_address
from us8k_batch.cluster.where import Where
from us8k_batch.errors import RequestError


@contextlib.contextmanager
def open_executor(where: Where) -> Iterator[tuple[Executor, int]]:
    """Connect to a scheduler; give an executor, and the number of threads that its workers have now.

    Parameters
    ----------
    where : Where
        With a scheduler or a scheduler file. Workers need this package and what the tasks import.

    Raises
    ------
    RequestError
        If no scheduler answers there, or it has no worker.
    """
    asked = where.scheduler
    if asked is None and where.scheduler_file is not None:
        asked = read_address(where.scheduler_file)
    if asked is None:
        raise RequestError("no cluster was named; expected --scheduler or --scheduler-file")
    try:
        client = Client(asked, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RequestError(f"{asked}: no scheduler answers there ({error}); is it running?") from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise RequestError(f"{asked}: the scheduler has no worker; start one with dask worker")
        # The same model and parameters may be wanted twice: a result must be of the call that asked for it.
        with client.get_executor(pure=False) as executor:
            yield executor, threads
