"""A client of a scheduler, or nothing that is left of one."""

from __future__ import annotations

import contextlib
from typing import Any

from distributed import Client


class _Client(Client):  # type: ignore[misc]
    """Ends with its event loop's thread if it does not get its connection.

    Dask leaves the thread, or ends it when the client is collected, in whatever thread that happens. In one that
    starts the loop of another client it waits for a lock that is held until the loop has started: the other client
    fails after ten seconds, with an assertion.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(*arguments, **options)
        except BaseException:
            with contextlib.suppress(Exception):  # how far it came is not known
                self.close()
            with contextlib.suppress(Exception):
                self._loop_runner.stop()
            raise


def open_client(target: Any, **options: Any) -> Client:
    """Connect to a scheduler, not as the client that Dask would use by itself.

    Parameters
    ----------
    target : str or Dask cluster
        The scheduler's address, or what was started.
    **options
        Dask's, for a client.

    Raises
    ------
    Exception
        Whatever Dask raises.
    """
    return _Client(target, set_as_default=False, **options)
