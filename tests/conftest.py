"""Fixtures that many tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from hypothesis import Phase, settings
from moto.server import ThreadedMotoServer
from s3_servers import MISSING, S3_ENVIRONMENT, Ceph

if TYPE_CHECKING:
    from clusters import HandStarted
    from runs import Runner

    from us8k_batch.shard_task import Job
    from us8k_batch.workshop import Workshop

settings.register_profile(
    "us8k",
    # A change is judged by the same examples every time; make chaos, and whoever sets this, looks for others.
    derandomize="US8K_EXPLORE" not in os.environ,
    deadline=None,  # the first example pays for imports, and machines are shared
    phases=set(Phase) - {Phase.explain},  # for which every line that runs is traced, in case that something fails
)
settings.load_profile("us8k")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Find the folder of real recordings beside the repository, which are not part of it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder}")
    return folder


@pytest.fixture(scope="session")
def real_clips(real_data: Path) -> list[Path]:
    """List the genuine UrbanSound8K clips, and every twentieth of ESC-10."""
    return [
        *sorted((real_data / "UrbanSound8K").glob("audio/*/*.wav")),
        *sorted((real_data / "ESC-10").glob("audio/*.ogg"))[::20],
    ]


@pytest.fixture(scope="session")
def hand_started(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[HandStarted]:
    """Start a scheduler and two workers by hand, once for all tests; a worker that is killed is replaced."""
    from clusters import HandStarted

    environment = {"AWS_ENDPOINT_URL": s3_endpoint, **S3_ENVIRONMENT}
    with HandStarted(
        folder=tmp_path_factory.mktemp("dask"), environment=environment, nanny=True, dashboard=True
    ) as hand:
        yield hand.start_scheduler().start_workers(2).wait_for_workers(2)


@pytest.fixture(scope="session")
def runner(hand_started: HandStarted) -> Runner:
    """Return what runs jobs on the workers that all tests share."""
    from runs import Runner

    return Runner(hand_started.address)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let who runs the tests choose the S3 servers that those of buckets are run on."""
    parser.addoption("--s3", action="append", choices=["moto", "ceph"], help="Server; may be repeated (moto).")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a bucket once on each server."""
    servers = metafunc.config.getoption("--s3")
    if servers and "s3" in metafunc.fixturenames:
        metafunc.parametrize("s3_endpoint", servers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def s3_endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start an S3 server on this machine, which lasts as long as the tests; yield its address."""
    if getattr(request, "param", "moto") == "ceph":
        if MISSING:
            pytest.skip(f"not installed: {', '.join(MISSING)}")
        keys = S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"], S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]
        with Ceph(tmp_path_factory.mktemp("ceph"), *keys) as ceph:
            yield ceph.url
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def bucket_names() -> Iterator[str]:
    """Count names that no bucket has yet."""
    return (f"bucket-{number}" for number in count(1))


@pytest.fixture
def s3(s3_endpoint: str, bucket_names: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Make an empty bucket; return its URL. The environment says how to reach it, as a user's would."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    for name, value in S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    bucket = next(bucket_names)
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture
def temporary_keys(s3: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Put temporary credentials for the bucket into the environment; return them, each of which is secret."""
    given = boto3.client("sts").get_session_token()["Credentials"]
    keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    for name, key in zip(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"), keys, strict=True):
        monkeypatch.setenv(f"AWS_{name}", key)
    return keys


@pytest.fixture(scope="session")
def scheduler(hand_started: HandStarted) -> str:
    """Name the address of the scheduler that was started by hand."""
    return hand_started.address


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make certificates for clusters, as the documentation says."""
    from certificates import make_certificates

    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """Keep one decoder of this process for all tests, as a worker does."""
    from us8k_batch.workshop import Workshop

    workshop = Workshop()
    yield workshop
    workshop.close()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Make an empty dataset and a store; storage that does not answer is asked again without a pause."""
    from shard_tasks import make_job

    from us8k_batch.objects import retry

    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    (tmp_path / "data").mkdir()
    return make_job(tmp_path, str(tmp_path / "data"))
