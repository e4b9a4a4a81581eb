"""The workers of a running cluster as a `concurrent.futures.Executor`, for those who need not know Dask."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from distributed import Client

from us8k_batch.cluster.connect import named_scheduler, reach
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
    asked = named_scheduler(where)
    if asked is None:
        raise RequestError("no cluster was named; expected --scheduler or --scheduler-file")
    with reach(asked, asked) as client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise RequestError(f"{asked}: the scheduler has no worker; start one with dask worker")
        # The same model and parameters may be wanted twice: a result must be of the call that asked for it.
        with client.get_executor(pure=False) as executor:
            yield SharingExecutor(client, executor), threads


class SharingExecutor(Executor):
    """Ships the first argument to the workers once for all tasks that follow one another with the same one.

    Otherwise each fit of a search would carry its own copy of the features to the scheduler.

    Parameters
    ----------
    client : distributed.Client
        Ships the argument.
    executor : concurrent.futures.Executor
        The same client's, which runs the tasks.
    """

    def __init__(self, client: Client, executor: Executor) -> None:
        self._client = client
        self._executor = executor
        self._shipped: tuple[Any, Any] = (None, None)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        """Run a function on a worker."""
        if arguments:
            # Told apart by identity. It is kept here, or another object could get its address.
            if self._shipped[0] is not arguments[0]:
                # On every worker: one that dies takes nothing along.
                self._shipped = arguments[0], self._client.scatter([arguments[0]], broadcast=True, hash=False)[0]
            arguments = (self._shipped[1], *arguments[1:])
        return self._executor.submit(function, *arguments, **more)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)
