"""Clusters that a file describes: how they are started, what they are started with, and who may reach them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
import yaml
from certificates import make_certificates, security
from clusters import HandStarted, make_settings
from distributed import Client, Security, SpecCluster
from window_tasks import Bench

from us8k_batch.cluster.client import open_client
from us8k_batch.cluster.connect import connect
from us8k_batch.cluster.spec import STARTED, read_spec, started
from us8k_batch.cluster.where import Where
from us8k_batch.errors import RequestError

INSIDE = {"n_workers": 1, "processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
"""Arguments of a cluster that is a thread of this process."""
TLS = {"protocol": "tls://"}
NOBODY = dict.fromkeys(("ca-file", "client.cert", "client.key"))
"""Of Dask's settings for TLS, those that somebody without certificates lacks."""


def write_spec(folder: Path, **values: object) -> str:
    """Write a specification; what is not given is a small cluster on this machine."""
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump({"module": "distributed", "class": "LocalCluster", "kwargs": INSIDE, **values}))
    return str(file)


@contextlib.contextmanager
def start(folder: Path, **values: object) -> Iterator[Any]:
    """Start what a specification describes."""
    with started(read_spec(write_spec(folder, **values))) as cluster:
        yield cluster


def test_settings_hold_as_long_as_the_cluster(tmp_path: Path) -> None:
    """Ours, and those of the file, which win; workers that come later are started with them, too."""
    before = dask.config.get("distributed.scheduler.worker-ttl")
    with start(tmp_path, config={"distributed.scheduler.worker-ttl": "90s", "array.slicing.split": True}):
        assert dask.config.get("distributed.scheduler.worker-ttl") == "90s"
        assert dask.config.get("distributed.scheduler.worker-saturation") == 1.0
        assert dask.config.get("array.slicing.split")
    assert dask.config.get("distributed.scheduler.worker-ttl") == before


def test_nested_settings_leave_their_neighbours(tmp_path: Path) -> None:
    """As in Dask's own files: what is not named stays as it is."""
    before = dask.config.get("distributed.comm.timeouts.connect")
    with start(tmp_path, config={"distributed": {"comm": {"timeouts": {"tcp": "40s"}}}}):
        assert dask.config.get("distributed.comm.timeouts.tcp") == "40s"
        assert dask.config.get("distributed.comm.timeouts.connect") == before


def test_the_scheduler_has_the_settings(tmp_path: Path) -> None:
    """They are read when a scheduler is made, so that one that runs already would not heed them."""
    with start(tmp_path) as cluster:
        assert cluster.scheduler.allowed_failures == STARTED["distributed.scheduler.allowed-failures"]
        assert cluster.scheduler.worker_ttl == 60
        assert cluster.scheduler.WORKER_SATURATION == 1.0


def test_it_is_stopped_afterwards_also_after_an_error(tmp_path: Path) -> None:
    """No worker outlives the run that started it."""
    with pytest.raises(KeyError), start(tmp_path) as cluster:
        raise KeyError
    assert cluster.status.name == "closed"


@pytest.mark.parametrize("scale", [1, {"n": 1}], ids=str)
def test_workers_are_asked_for_by_number_or_by_name(tmp_path: Path, scale: object) -> None:
    """Batch systems count jobs or cores: what a mapping holds is what ``scale`` is called with."""
    with start(tmp_path, kwargs={**INSIDE, "n_workers": 0}, scale=scale) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)


class Started(SpecCluster):
    """Stands for the classes of other packages: a scheduler that listens for other hosts, unless told otherwise."""

    def __init__(self, **options: Any) -> None:
        scheduler = {
            "cls": "distributed.Scheduler",
            "options": {"dashboard_address": "127.0.0.1:0", "port": 0, **options},
        }
        super().__init__(workers={}, scheduler=scheduler, security=options.get("security"))


@pytest.mark.parametrize("options", [{}, {"host": "127.0.0.1"}, {"protocol": "tcp://"}], ids=str)
def test_a_scheduler_for_other_hosts_does_not_listen_without_tls(
    tmp_path: Path, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reaches a scheduler runs code on every worker, so that Dask is told to refuse before it listens."""
    listened: list[str] = []
    monkeypatch.setattr("distributed.comm.tcp.TCPListener.start", lambda self: listened.append(self.ip))
    with (
        pytest.raises(RequestError, match=r"cluster\.yaml: Started cannot be started \(RuntimeError: .*encryption"),
        start(tmp_path, module=__name__, **{"class": "Started"}, kwargs=options),
    ):
        pass
    assert listened == []


@pytest.mark.parametrize("host", ["0.0.0.0"])  # noqa: S104  # it is refused
def test_a_local_cluster_that_is_open_to_others_is_refused(tmp_path: Path, host: str) -> None:
    """The file's own mistake is named with the way out, and the cluster is gone again."""
    with (
        pytest.raises(RequestError, match=r"cluster\.yaml: its scheduler listens on .* without TLS.*cluster/tls"),
        start(tmp_path, kwargs={**INSIDE, "n_workers": 0, "host": host, "protocol": "tcp"}),
    ):
        pass


def test_with_certificates_it_may_listen_everywhere(tmp_path: Path, authority: Path) -> None:
    """The same class with TLS starts, works, and turns everybody away who has no certificate of its authority."""
    config = security(authority)
    with (
        start(tmp_path, module=__name__, **{"class": "Started"}, kwargs=TLS, config=config) as cluster,
        Client(cluster) as client,
    ):
        assert cluster.scheduler_address.startswith("tls://")
        assert client.run_on_scheduler(lambda: 5) == 5
        address = client.scheduler.address
        for stranger in (Security.temporary(), None):
            lacking = {f"distributed.comm.tls.{name}": value for name, value in NOBODY.items()}
            with dask.config.set({"distributed.comm.timeouts.connect": "500ms", **lacking}):
                for asked in (address, address.replace("tls://", "tcp://")):
                    with pytest.raises((OSError, TypeError, RuntimeError)):
                        open_client(asked, security=stranger)


def test_a_temporary_authority_is_one_word(tmp_path: Path) -> None:
    """``security: true``: Dask makes certificates that nobody else has, for this one cluster."""
    kwargs = {**INSIDE, "n_workers": 0, "host": "0.0.0.0", "protocol": "tls", "security": True}  # noqa: S104
    with start(tmp_path, kwargs=kwargs) as cluster:
        assert cluster.scheduler_address.startswith("tls://")


@pytest.mark.parametrize("role", ["scheduler", "worker", "client"])
def test_a_folder_of_a_role_holds_what_dask_reads(authority: Path, role: str) -> None:
    """Whoever has the folder can play that role, with encryption required, and no other."""
    with dask.config.set(security(authority / role)):
        made = Security()
        assert made.require_encryption
        assert made.get_connection_args(role)["ssl_context"] is not None
        others = {"scheduler", "worker", "client"} - {role}
        assert [made.get_tls_config_for_role(other)["cert"] for other in others] == [None, None]
    private = [path for path in authority.rglob("*") if path.suffix == ".key" or path.name == "key.pem"]
    assert len(private) == 4
    assert {path.stat().st_mode & 0o077 for path in private} == {0}


def test_a_client_s_certificate_cannot_be_a_scheduler_s(authority: Path, tmp_path: Path) -> None:
    """It was made to ask, not to answer: who stole it cannot make others send their work to him."""
    posing = security(authority)
    for kind in ("cert", "key"):
        posing[f"distributed.comm.tls.scheduler.{kind}"] = posing[f"distributed.comm.tls.client.{kind}"]
    with (
        pytest.raises(RequestError, match="certificate verify failed: unsuitable certificate purpose"),
        start(tmp_path, module=__name__, **{"class": "Started"}, kwargs=TLS, config=posing),
    ):
        pass


def test_certificates_are_renewed_by_the_same_authority(authority: Path) -> None:
    """Making them again leaves the authority as it was, and what it signed earlier still counts."""
    kept = (authority / "ca.pem").read_bytes()
    old = (authority / "worker/cert.pem").read_bytes()
    make_certificates(authority, "30")
    assert (authority / "ca.pem").read_bytes() == kept
    assert (authority / "worker/cert.pem").read_bytes() != old


def test_hand_started_processes_speak_tls(authority: Path, tmp_path: Path) -> None:
    """Scheduler and worker with their folders, a client with its own: connected; without one it is told why not."""
    with HandStarted(folder=tmp_path / "dask", tls=authority) as hand:
        hand.start_scheduler().start_workers(1)
        with (
            dask.config.set(security(authority / "client")),
            connect(Where(scheduler=hand.address), make_settings(), Bench) as cluster,
        ):
            cluster.wait_for_workers()
            assert len(cluster.workers()) == 1
        with (
            pytest.raises(RequestError, match=r"tls://.*no scheduler answers.*DASK_CONFIG.*cluster/tls"),
            connect(Where(scheduler=hand.address), make_settings(), Bench),
        ):
            pass


@pytest.mark.parametrize("how", [{"scale": 1}, {"adapt": {"minimum_jobs": 1, "maximum_jobs": 2}}])
@pytest.mark.parametrize(
    ("script", "told"),
    [(None, r"needs sbatch, which is not found here"), ("echo no partition >&2; exit 1", r"no partition")],
)
def test_jobs_that_cannot_be_submitted_are_said_at_once(
    tmp_path: Path, how: dict[str, Any], script: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the batch system's command, or when it refuses: nobody waits for workers that never come."""
    if script is not None:
        (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    given = {"cores": 1, "memory": "1GB", "security": True, "shared_temp_directory": str(tmp_path)}
    given |= {"log_directory": str(tmp_path), "scheduler_options": {"dashboard_address": "127.0.0.1:0"}}
    values = {"module": "dask_jobqueue", "class": "SLURMCluster", "kwargs": given, **how}
    with pytest.raises(RequestError, match=told), start(tmp_path, **values):
        pass


def test_a_class_of_an_extra_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster file names a package of ours that is not installed."""
    monkeypatch.setitem(__import__("sys").modules, "dask_jobqueue", None)
    with (
        pytest.raises(RequestError, match=r"dask_jobqueue.*install it: .*\[jobqueue\]"),
        start(tmp_path, **{"module": "dask_jobqueue", "class": "SLURMCluster"}),
    ):
        pass
