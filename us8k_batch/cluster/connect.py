"""Find a running Dask cluster, or start one, and stop what was started."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import yaml
from dask.utils import parse_timedelta
from distributed import Client, LocalCluster

from us8k_batch.cluster.where import Where
from us8k_batch.cluster.window import Cluster
from us8k_batch.cluster.workshop import Workshop
from us8k_batch.errors import RequestError
from us8k_batch.settings import Settings

LOCAL_CONFIG = {
    # One thread works per worker: a task queued behind a running one would be lost with its worker.
    "distributed.scheduler.worker-saturation": 1.0,
    # A dying worker marks every task assigned to it, innocent ones too (dask/distributed#5234).
    "distributed.scheduler.allowed-failures": 10,
    "distributed.comm.timeouts.tcp": "30s",
}


@contextlib.contextmanager
def connect(where: Where, settings: Settings, make: Callable[[], Workshop]) -> Iterator[Cluster]:
    """Find or start the cluster, and give every worker a workshop; stop it afterwards if it was started.

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
            target = stack.enter_context(_from_spec(where.spec))
        else:
            stack.enter_context(dask.config.set(LOCAL_CONFIG))
            target = stack.enter_context(_local(settings))
        try:
            client = Client(target, set_as_default=False)
        except (OSError, ValueError, TypeError, ImportError) as error:
            asked = address or where.spec or "a local cluster"
            raise RequestError(f"{asked}: no scheduler answers there ({error}); is it running?") from error
        local = address is None and where.spec is None
        yield stack.enter_context(contextlib.closing(Cluster(client, settings, make, local)))


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


def _local(settings: Settings) -> LocalCluster:
    host, _, port = settings.dashboard.rpartition(":")
    with _interrupts_ignored():
        return LocalCluster(
            n_workers=settings.workers,
            threads_per_worker=1,
            processes=True,
            silence_logs=logging.ERROR,
            host="127.0.0.1",
            dashboard_address=f"{host or '127.0.0.1'}:{port if _is_free(host, port) else 0}",
        )


def _from_spec(file: str) -> Any:
    """Make the cluster that a YAML file names: ``module``, ``class``, ``kwargs``, ``scale`` or ``adapt``."""
    try:
        spec = yaml.safe_load(Path(file).read_text())
        maker = getattr(importlib.import_module(spec["module"]), spec["class"])
        cluster = maker(*spec.get("args", []), **spec.get("kwargs", {}))
        if "scale" in spec:
            cluster.scale(spec["scale"])
        if "adapt" in spec:
            cluster.adapt(**spec["adapt"])
    except (OSError, yaml.YAMLError, ImportError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"{file}: {error!r}; expected a cluster specification with module, class, kwargs, scale or adapt"
        ) from error
    return cluster


def _is_free(host: str, port: str) -> bool:
    with contextlib.suppress(OSError, ValueError), socket.socket() as probe:
        probe.bind((host or "127.0.0.1", int(port)))
        return True
    return False


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start children that ignore Ctrl-C, which a terminal sends to them too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
