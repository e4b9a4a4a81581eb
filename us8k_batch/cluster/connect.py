"""Find a running Dask cluster, or start one, and stop what was started."""

from __future__ import annotations

import contextlib
import importlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import yaml
from distributed import Client, LocalCluster

from us8k_batch.cluster.where import Where
from us8k_batch.cluster.window import Cluster, Workshop
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
    with contextlib.ExitStack() as stack:
        address = where.scheduler or dask.config.get("scheduler-address", None)
        local = not (where.scheduler or where.scheduler_file or where.spec or address)
        if where.scheduler or where.scheduler_file:
            target: Any = where.scheduler
        elif where.spec:
            target = stack.enter_context(_from_spec(where.spec))
        elif address:
            target = address
        else:
            stack.enter_context(dask.config.set(LOCAL_CONFIG))
            target = stack.enter_context(_local(settings))
        try:
            client = stack.enter_context(Client(target, scheduler_file=where.scheduler_file))
        except (OSError, TimeoutError, ValueError) as error:
            asked = where.scheduler or where.scheduler_file or where.spec or address
            raise RequestError(f"{asked}: no scheduler answers there ({error}); is it running?") from error
        yield Cluster(client, settings, make, local)


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
