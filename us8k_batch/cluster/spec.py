"""Start the cluster that a YAML file describes, and stop it; nobody outside may reach one without TLS."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.config
import yaml
from distributed import LocalCluster, SpecCluster
from distributed.comm.addressing import parse_host_port

from us8k_batch.cluster.local_cluster import interrupts_ignored, why_not_started
from us8k_batch.errors import RequestError
from us8k_batch.extras import extra_of, install

STARTED = {
    # One thread works per worker: a task queued behind a running one would be lost with its worker.
    "distributed.scheduler.worker-saturation": 1.0,
    # A dying worker marks every task assigned to it, innocent ones too (dask/distributed#5234).
    "distributed.scheduler.allowed-failures": 10,
    # A worker that is frozen, or behind a cut link, is given up after a minute; decoding never blocks its heartbeat.
    "distributed.scheduler.worker-ttl": "60s",
    # Below 11 s Dask ends with "Timeout too low".
    "distributed.comm.timeouts.tcp": "30s",
    # Fifty looks a second for a loop that hangs, and a hundred at what a thread does, took 3 % of each processor.
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.profile.interval": "1s",
    # Results are a hundred bytes: there is nothing to spill, and a paused worker would wait for memory for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}
"""Dask's settings for the clusters that we start."""
EXPECTED = "expected a cluster specification with module, class, args, kwargs, config, scale or adapt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A cluster to be started."""

    file: str
    """Where it stands."""
    module: str
    """Module of the cluster class."""
    name: str
    """Name of the cluster class in it."""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """What the class is called with."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Dask's settings while it runs, beside `STARTED`."""
    scale: int | Mapping[str, Any] | None = None
    """Workers to ask for, or what ``scale`` is called with."""
    adapt: Mapping[str, Any] | None = None
    """What ``adapt`` is called with."""


def read_spec(file: str) -> Spec:
    """Read a specification.

    Raises
    ------
    RequestError
        If it is none.
    """
    known = {"module", "class", "args", "kwargs", "config", "scale", "adapt"}
    try:
        read = yaml.safe_load(Path(file).read_text())
        if not isinstance(read, dict):
            raise TypeError(f"holds a {type(read).__name__}")
        if unknown := sorted(map(str, set(read) - known)):
            raise ValueError(f"unknown key {unknown[0]}")
        return Spec(
            file=file,
            module=read["module"],
            name=read["class"],
            args=tuple(read.get("args") or ()),
            kwargs=dict(read.get("kwargs") or {}),
            config=dict(read.get("config") or {}),
            scale=read.get("scale"),
            adapt=read.get("adapt"),
        )
    except KeyError as error:
        raise RequestError(f"{file}: {error} is missing; {EXPECTED}") from error
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise RequestError(f"{file}: {' '.join(str(error).split())}; {EXPECTED}") from error


@contextlib.contextmanager
def started(spec: Spec) -> Iterator[Any]:
    """Start a cluster, and ask it for workers; stop it afterwards.

    Raises
    ------
    RequestError
        If it cannot be started, or its scheduler would listen beyond this machine without TLS.
    """
    try:
        maker = getattr(importlib.import_module(spec.module), spec.name)
    except (ImportError, AttributeError, TypeError) as error:
        raise RequestError(f"{spec.file}: {error}; {_remedy(error)}, or correct it: {EXPECTED}") from error
    # Settings hold as long as the cluster does: workers that come later are started with them, too.
    with dask.config.set(_settings(spec, maker)), contextlib.ExitStack() as stack:
        try:
            with interrupts_ignored():
                cluster = maker(*spec.args, **spec.kwargs)
            stack.callback(_close, cluster)
            _refuse_open(spec, cluster)
            _ask_for_workers(spec, cluster)
        except RequestError:
            raise
        except Exception as error:  # whatever its class raises: a missing package, a wrong argument, a host away
            logging.getLogger(__name__).debug("%s", spec.file, exc_info=True)
            cause = _first_cause(error)
            if isinstance(cause, FileNotFoundError) and cause.filename:
                raise RequestError(
                    f"{spec.file}: {spec.name} needs {cause.filename}, which is not found here; "
                    "run this where jobs are submitted"
                ) from error
            why = why_not_started(error)
            raise RequestError(f"{spec.file}: {spec.name} cannot be started ({why}); {EXPECTED}") from error
        yield cluster


def _ask_for_workers(spec: Spec, cluster: Any) -> None:
    """Ask for the first workers, and wait until that is done: if it failed, Dask would log a traceback and go on."""
    first = spec.scale
    if first is None and spec.adapt is not None:
        least = {"minimum": "n", "minimum_jobs": "jobs"}
        first = {least[name]: number for name, number in spec.adapt.items() if name in least and number}
    if first:
        how = first if isinstance(first, Mapping) else {"n": first}
        if isinstance(cluster, SpecCluster):
            with _silent("tornado.application"):
                cluster.sync(_scale, cluster, how)
        else:
            cluster.scale(**how)
    if spec.adapt is not None:
        cluster.adapt(**spec.adapt)


def _close(cluster: Any) -> None:
    """Close a cluster; what its class fails to end, such as jobs that were never submitted, fails no run."""
    try:
        cluster.close()
    except Exception:  # whatever its class raises
        logging.getLogger(__name__).debug("closing %s", cluster, exc_info=True)


async def _scale(cluster: SpecCluster, how: Mapping[str, Any]) -> None:
    cluster.scale(**how)  # leaves the asking to the loop, and ours goes first
    await cluster._correct_state()


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _remedy(error: Exception) -> str:
    """Say how what a cluster file names is installed: by an extra of ours, if it is one of them."""
    extra = extra_of(error.name) if isinstance(error, ImportError) and error.name else None
    return f"install it: {install(extra)}" if extra else "install what it names"


def _settings(spec: Spec, maker: Any) -> dict[str, Any]:
    settings = {**STARTED, **_flat(spec.config)}
    if not (isinstance(maker, type) and issubclass(maker, LocalCluster)):
        # It listens for other hosts, so that Dask refuses to without TLS; on the loopback there is no need.
        settings["distributed.comm.require-encryption"] = True
    return settings


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by their full names: Dask would put a mapping in place of all that stands beside it."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _refuse_open(spec: Spec, cluster: Any) -> None:
    address = str(cluster.scheduler_address)
    protocol = address.partition("://")[0]
    if protocol in ("tls", "inproc") or _is_loopback(address):
        return
    raise RequestError(
        f"{spec.file}: its scheduler listens on {address} without TLS, and runs whatever anybody sends it; "
        "use TLS (see cluster/tls), or host: 127.0.0.1"
    )


def _is_loopback(address: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(parse_host_port(address.partition("://")[2])[0]).is_loopback
    return False


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
