"""Find a running Dask cluster, or start one, and stop what was started."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
from dask.utils import parse_timedelta
from distributed import Client, LocalCluster, Security

from us8k_batch.cluster.client import open_client
from us8k_batch.cluster.local_cluster import start_local
from us8k_batch.cluster.spec import STARTED, read_spec, started
from us8k_batch.cluster.where import Where
from us8k_batch.cluster.window import Cluster
from us8k_batch.cluster.workshop import MakeWorkshop, OnCompiling
from us8k_batch.errors import RequestError
from us8k_batch.settings import Settings


@contextlib.contextmanager
def connect(
    where: Where,
    settings: Settings,
    make: MakeWorkshop,
    tell: Callable[[str], None] = lambda _: None,
    on_compiling: OnCompiling = lambda _seconds, _machine: None,
) -> Iterator[Cluster]:
    """Find or start the cluster; stop it afterwards if it was started. `tell` is told what is waited for.

    Raises
    ------
    RequestError
        If there is no scheduler there, or the specification cannot be used.
    """
    # Dask tells every connection at level INFO; its warnings are what a run's log is read for.
    quiet = max(logging.WARNING, logging.getLogger().getEffectiveLevel())
    logging.getLogger("distributed").setLevel(quiet)
    address = named_scheduler(where)
    if address is None and where.spec is None:
        address = dask.config.get("scheduler-address", None)
    with contextlib.ExitStack() as stack:
        if address is not None:
            target: Any = address
        elif where.spec is not None:
            target = stack.enter_context(started(read_spec(where.spec)))
        else:
            stack.enter_context(dask.config.set(STARTED))
            target = stack.enter_context(start_local(settings))
        client = reach(target, address or where.spec or "a local cluster")
        local = isinstance(target, LocalCluster)
        yield stack.enter_context(contextlib.closing(Cluster(client, settings, make, local, tell, on_compiling)))


def named_scheduler(where: Where) -> str | None:
    """Return the address of the scheduler that was named, itself or by its file; None if none was.

    Raises
    ------
    RequestError
        If no scheduler writes its address into the file in time.
    """
    if where.scheduler is None and where.scheduler_file is not None:
        return _read_address(where.scheduler_file)
    return where.scheduler


def reach(target: Any, asked: str) -> Client:
    """Connect to a scheduler.

    Parameters
    ----------
    target : str or Dask cluster
        The scheduler's address, or what was started.
    asked : str
        What the user asked for.

    Raises
    ------
    RequestError
        If none answers there, or it cannot be asked in the way that it speaks; says what may be the reason.
    """
    if asked.startswith("tls://"):
        hint = (
            "is it running, and does DASK_CONFIG name a folder of certificates of the same authority (cluster/tls)?"
        )
    elif asked.startswith("tcp://"):
        hint = "is it running, and does it speak without TLS? Otherwise it is tls://"
    else:
        hint = "is it running?"
    try:
        if isinstance(target, str):
            _check_certificates(target)
        return open_client(target)
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise RequestError(f"{asked}: no scheduler answers there ({error}); {hint}") from error


def _check_certificates(address: str) -> None:
    """Refuse what Dask's client would fail on when it has begun already: it would then wait for a minute to end."""
    security = Security()
    if address.startswith("tls://") and security.get_connection_args("client")["ssl_context"] is None:
        raise ValueError("Dask's settings name no certificates of a client")
    if address.startswith("tcp://") and security.require_encryption:
        raise ValueError("Dask's settings require encryption, and this address is without")


def _read_address(file: str) -> str:
    """Read the file that a scheduler wrote, or that it will write in a moment."""
    deadline = time.monotonic() + parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
    pause = threading.Event()
    while True:
        try:
            return str(json.loads(Path(file).read_text())["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if time.monotonic() > deadline:
                raise RequestError(
                    f"{file}: no scheduler's address there ({error}); start one with dask scheduler "
                    f"--scheduler-file {file}"
                ) from error
        pause.wait(0.1)
