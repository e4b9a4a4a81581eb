"""S3 servers of this machine: what both are told, and the real one, a gateway of Ceph that holds all in memory."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import boto3
from clusters import wait_until

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""What a user of either server has in the environment, but for its address."""
USER = "us8k"
GATEWAY = "client.rgw.a"
PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
"""What apt-get would install as ceph-mon, ceph-osd and radosgw."""
CONFIGURATION = """
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = {monitor}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
# Nobody else can connect. The gateway asks for encryption, which cannot be had without authentication.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
ms_client_mode = crc
ms_service_mode = crc
ms_cluster_mode = crc
# One copy, in memory.
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
# All in one folder.
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
run_dir = {folder}
crash_dir = {folder}
keyring = {folder}/keyring
log_file = {folder}/$name.log
admin_socket =
pid_file =
[{gateway}]
rgw_frontends = beast endpoint=127.0.0.1:{port}
# Temporary credentials.
rgw_s3_auth_use_sts = true
rgw_sts_key = 0123456789abcdef
"""


class Ceph:
    """One monitor, one storage daemon and one gateway, which end with the block; any user may start them."""

    def __init__(self, folder: Path, access_key: str, secret_key: str) -> None:
        self._folder = folder
        self._keys = access_key, secret_key
        self._running: list[subprocess.Popen[bytes]] = []
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            process.kill()  # there is nothing to keep
            process.wait()

    @property
    def version(self) -> str:
        """The release, such as 16.2.15."""
        told = subprocess.run(["radosgw", "--version"], capture_output=True, text=True, check=True).stdout
        return told.split()[2]

    def _start(self) -> None:
        fsid, monitor = str(uuid.uuid4()), f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
        for name in ("mon", "osd", "rgw"):
            (self._folder / name).mkdir()
        (self._folder / "ceph.conf").write_text(
            CONFIGURATION.format(fsid=fsid, monitor=monitor, folder=self._folder, gateway=GATEWAY, port=self._port)
        )
        map_ = str(self._folder / "map")
        self._call("monmaptool", "--create", "--addv", "a", monitor, "--fsid", fsid, map_)
        self._call("ceph-mon", "-i", "a", "--mkfs", "--monmap", map_)
        self._begin("ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        self._call("ceph", "osd", "new", osd)
        self._call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._begin("ceph-osd", "-i", "0")
        access_key, secret_key = self._keys
        self._call(
            "radosgw-admin", "-n", GATEWAY, "user", "create", f"--uid={USER}", f"--display-name={USER}",
            f"--access-key={access_key}", f"--secret-key={secret_key}", "--caps=user-policy=*",
        )  # fmt: skip
        self._begin("radosgw", "-n", GATEWAY)
        wait_until(self._answers, "the gateway", patience=60)
        # Temporary credentials are for those whose policy allows them to ask.
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}]}
        boto3.client(
            "iam", endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id=access_key, aws_secret_access_key=secret_key,
        ).put_user_policy(UserName=USER, PolicyName="all", PolicyDocument=json.dumps(allow))  # fmt: skip

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [program, "-c", str(self._folder / "ceph.conf"), *arguments]

    def _call(self, *command: str) -> None:
        done = subprocess.run(self._command(*command), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, (command, done.stderr)

    def _begin(self, *command: str) -> None:
        self._running.append(begin_daemon([*self._command(*command), "-f"], self._folder))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5):  # noqa: S310  # the address is ours
                return True
        except OSError:
            return False


def begin_daemon(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a daemon that ends with this process, however this one ends; what it says goes to a file in a folder."""
    with (folder / f"{command[0]}.out").open("wb") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True,
        )  # fmt: skip


def free_port() -> int:
    """Return a port that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
