"""Several hosts on one machine: network namespaces around a switch, and cables that can be pulled. Wants root."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from failpoints import python_path

NETWORK = "198.18.7"
"""Of the addresses that are set aside for trials of networks."""
UNUSABLE = "network namespaces want root and iproute2" if os.geteuid() != 0 or shutil.which("ip") is None else ""


class Hosts:
    """Hosts by name, each with an address of its own, and a switch between them."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._folder = folder
        self._prefix = f"us8k-{os.getpid()}"
        self.addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 1)}
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        switch = f"{self._prefix}-switch"
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        for name, address in self.addresses.items():
            host, port = f"{self._prefix}-{name}", f"p-{name}"
            _ip("netns", "add", host)
            _ip("link", "add", "e0", "netns", host, "type", "veth", "peer", "name", port, "netns", switch)
            _ip("-n", switch, "link", "set", port, "master", "br0", "up")
            _ip("-n", host, "address", "add", f"{address}/24", "dev", "e0")
            for device in ("e0", "lo"):
                _ip("-n", host, "link", "set", device, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for name in (*self.addresses, "switch"):
            subprocess.run(["ip", "netns", "delete", f"{self._prefix}-{name}"], check=False)

    def start(self, name: str, command: list[str], environment: Mapping[str, str], *, again: bool = False) -> Path:
        """Start a command on a host, `again` whenever it ends; return the file of all that it says."""
        log = self._folder / f"{name}.log"
        shell = f"while true; do {shlex.join(command)}; done" if again else f"exec {shlex.join(command)}"
        with log.open("ab") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", f"{self._prefix}-{name}", "sh", "-c", shell],
                env={**os.environ, "PYTHONPATH": python_path(), **environment},
                cwd=self._folder,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._running.append(process)
        return log

    def run(self, name: str, command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command on a host to its end."""
        return subprocess.run(
            ["ip", "netns", "exec", f"{self._prefix}-{name}", *command],
            env={**os.environ, "PYTHONPATH": python_path(), **environment},
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def last(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        return self._running[-1]

    def cut(self, name: str) -> None:
        """Pull a host's cable."""
        _ip("-n", f"{self._prefix}-switch", "link", "set", f"p-{name}", "down")

    def mend(self, name: str) -> None:
        """Plug it in again."""
        _ip("-n", f"{self._prefix}-switch", "link", "set", f"p-{name}", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
