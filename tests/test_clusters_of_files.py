"""The files in cluster/: what can be run here is run, and what cannot is held against what would read it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import dask.config
import dask_jobqueue
import jsonschema
import pytest
import yaml
from certificates import security
from datasets import make_manifest
from distributed.cli import dask_scheduler, dask_worker
from jsonschema import Draft7Validator as Validator
from runs import Heard, assert_sound, make_options

from us8k_batch.cluster.spec import read_spec, started
from us8k_batch.cluster.where import Where
from us8k_batch.run.extract import extract

FILES = Path(__file__).parents[1] / "cluster"
OPERATOR = Path(__file__).parent / "operator/daskjob.schema.json"


def read(name: str) -> Any:
    """Read a YAML file."""
    return yaml.safe_load((FILES / name).read_text())


@pytest.mark.parametrize("name", ["local", "ssh", "slurm"])
def test_each_specification_is_one(name: str) -> None:
    """It names what can be imported, and nothing that we do not know."""
    spec = read_spec(str(FILES / name / "cluster.yaml"))
    module = importlib.import_module(spec.module)
    assert callable(getattr(module, spec.name))


def test_every_folder_says_how_it_is_used() -> None:
    """Each has a README with commands, and the table of all of them names it."""
    folders = [folder for folder in FILES.iterdir() if folder.is_dir()]
    table = (FILES / "README.md").read_text()
    for folder in folders:
        assert "\n    " in (folder / "README.md").read_text()
        assert f"({folder.name}/README.md)" in table
    assert len(folders) >= 6


# --- ssh ---------------------------------------------------------------------------------------------------------


class SshServer:
    """An SSH server on this machine that lets one key in, and runs what it is told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> SshServer:
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.key_file = self._folder / "id_ed25519"
        key.write_private_key(str(self.key_file))
        key.write_public_key(str(self._folder / "authorized_keys"))
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.get_port()
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        # What was started is dead, so that its pipes end, and what copies them too.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=10)

    async def _listen(self) -> Any:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=str(self._folder / "authorized_keys"), process_factory=self._run, encoding=None,
        )  # fmt: skip

    async def _run(self, process: Any) -> None:
        pipe = asyncio.subprocess.PIPE
        started = await asyncio.create_subprocess_shell(
            process.command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self._started.append(started.pid)
        await asyncio.gather(_copy(started.stdout, process.stdout), _copy(started.stderr, process.stderr))
        process.exit(await started.wait())


async def _copy(source: Any, target: Any) -> None:
    while data := await source.read(1 << 16):
        target.write(data)


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshServer]:
    """Start an SSH server."""
    (tmp_path / "ssh").mkdir()
    with SshServer(tmp_path / "ssh") as server:
        yield server


def test_a_run_on_machines_reached_over_ssh(ssh: SshServer, authority: Path, tmp_path: Path) -> None:
    """As written, but for hosts, keys and number of workers: started over ssh, over TLS, done, and stopped."""
    spec = read("ssh/cluster.yaml")
    spec["kwargs"] |= {
        "hosts": ["127.0.0.1", "127.0.0.1"],
        "connect_options": {"port": ssh.port, "known_hosts": None, "client_keys": [str(ssh.key_file)]},
    }
    spec["kwargs"]["scheduler_options"] |= {"port": 0, "dashboard_address": "127.0.0.1:0"}
    spec["kwargs"]["worker_options"]["n_workers"] = 1
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(spec))
    dataset = make_manifest(tmp_path / "data", clips=6, seconds=0.1, formats=("WAV",))
    options = make_options(dataset, tmp_path / "store", scheduler=None)
    with dask.config.set(security(authority)):
        done = extract(replace(options, where=Where(spec=str(file))), Heard())
    assert done.live == 6
    assert done.workers == 1
    assert_sound(tmp_path / "store")


# --- batch systems -----------------------------------------------------------------------------------------------


def test_the_job_that_slurm_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker for each core with one thread, gone before the walltime, and TLS whose key only its owner reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = read("slurm/cluster.yaml")
    spec["kwargs"]["scheduler_options"] = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    del spec["adapt"]
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(spec))
    with started(read_spec(str(file))) as cluster:
        assert isinstance(cluster, dask_jobqueue.SLURMCluster)
        script = cluster.job_script().replace("~", str(tmp_path))  # as the shell of the job does
        keys = list(tmp_path.glob(".dask-jobqueue.worker.*"))
        assert len(keys) == 3
        assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
        for line in ("#SBATCH -n 1", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=15G", "#SBATCH -t 01:00:00"):
            assert line in script.splitlines()
        arguments = shlex.split(next(line for line in script.splitlines() if "dask_worker" in line))
        assert arguments[1:3] == ["-m", "distributed.cli.dask_worker"]
        assert arguments[3].startswith("tls://127.0.0.1:")
        given = dask_worker.main.make_context("worker", arguments[3:]).params
        assert (given["n_workers"], given["nthreads"], given["nanny"], given["protocol"]) == ("8", 1, True, "tls://")
        assert given["lifetime"] == "55m"
        assert given["death_timeout"] == "300"
        assert "PRIVATE KEY" not in script


# --- containers --------------------------------------------------------------------------------------------------


def strict(schema: Any) -> Any:
    """Return a schema that refuses what it does not name: the server would drop it without a word."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="session")
def job_schema() -> Any:
    """Read what the operator says of a DaskJob, in which there is a DaskCluster."""
    schema = strict(json.loads(OPERATOR.read_text()))
    for part in ("apiVersion", "kind", "metadata"):
        schema["properties"].pop(part, None)
    return schema


@pytest.fixture(scope="session")
def cluster_schema(job_schema: Any) -> Any:
    """Take the DaskCluster out of it."""
    return job_schema["properties"]["spec"]["properties"]["cluster"]


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_what_the_operator_gets(name: str, request: pytest.FixtureRequest) -> None:
    """Every field is one of the operator's, of the right type; its scheduler is the one that workers look for."""
    resource = read(f"kubernetes/{name}.yaml")
    # Without a look at the schema itself, which takes ten seconds.
    Validator(request.getfixturevalue(f"{name}_schema")).validate({"spec": resource["spec"]})
    spec = resource["spec"]["cluster"]["spec"] if name == "job" else resource["spec"]
    address = f"tls://{resource['metadata']['name']}-scheduler:8786"
    environment = {one["name"]: one["value"] for one in spec["worker"]["spec"]["containers"][0]["env"]}
    assert environment["DASK_SCHEDULER_ADDRESS"] == address
    assert spec["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == resource["metadata"]["name"]
    commands = [spec[role]["spec"]["containers"][0]["args"] for role in ("scheduler", "worker")]
    assert_commands(*commands)


def assert_commands(scheduler: list[str], worker: list[str]) -> None:
    """Prove that Dask's own commands take these arguments, and that a worker has one thread."""
    assert scheduler[:2] == ["dask", "scheduler"]
    dask_scheduler.main.make_context("scheduler", scheduler[2:])
    assert worker[:2] == ["dask", "worker"]
    assert dask_worker.main.make_context("worker", worker[2:]).params["nthreads"] == 1


def test_a_schema_refuses_what_it_does_not_know(cluster_schema: Any) -> None:
    """A misspelt field would not be noticed otherwise, here or by the server."""
    resource = read("kubernetes/cluster.yaml")
    container = resource["spec"]["worker"]["spec"]["containers"][0]
    container["volumeMount"] = container.pop("volumeMounts")
    with pytest.raises(jsonschema.ValidationError, match="volumeMount"):
        Validator(cluster_schema).validate({"spec": resource["spec"]})


def test_what_compose_gets() -> None:
    """Scheduler and workers come back by themselves, keys are mounted read-only, nothing listens for others."""
    services = read("compose/compose.yaml")["services"]
    assert {name for name, service in services.items() if service.get("restart") == "always"} == {
        "scheduler",
        "worker",
    }
    assert_commands(*(shlex.split(services[name]["command"]) for name in ("scheduler", "worker")))
    for name, service in services.items():
        keys = next(volume for volume in service["volumes"] if "US8K_TLS" in volume)
        assert keys.endswith(":ro")
        role = "client" if name == "us8k" else name
        assert service["environment"]["DASK_CONFIG"] == f"/etc/us8k-tls/{role}"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose, which apt-get would install")
def test_compose_accepts_its_file(tmp_path: Path) -> None:
    """The program that will read it finds no fault in it."""
    environment = {**os.environ, "US8K_DATA": "/data", "US8K_TLS": str(tmp_path)}
    file = str(FILES / "compose/compose.yaml")
    done = subprocess.run(
        ["docker-compose", "-f", file, "config"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"]["worker"]["restart"] == "always"


def test_the_image_is_made_of_what_is_there() -> None:
    """All that is copied exists and is not kept out of the build, and the versions are the lock's."""
    lines = (FILES / "compose/Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    kept = (FILES / "compose/Dockerfile.dockerignore").read_text().splitlines()
    for name in copied:
        assert (FILES.parent / name).exists()
        assert f"!{name}" in kept
    assert any("--require-hashes -r requirements.lock" in line for line in lines)
    assert any(line.startswith("USER ") and "root" not in line and " 0" not in line for line in lines)
