"""A batch system of one node on this machine: munge, SLURM's controller and its daemon. Wants root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from clusters import wait_until
from s3_servers import begin_daemon, free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
UNUSABLE = f"not installed: {', '.join(MISSING)}" if MISSING else "" if os.geteuid() == 0 else "slurmd wants root"
CONFIGURATION = """
ClusterName=us8k
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
KillWait=5
# More processors than there are: what is tried is who starts what, and not how fast it is.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000
PartitionName=all Nodes={host} Default=YES State=UP
"""


class Slurm:
    """Starts the daemons; ends all jobs and them when the block ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> Self:
        for name in ("state", "spool"):
            (self._folder / name).mkdir(parents=True)
        self._folder.chmod(0o755)  # or munge refuses its socket
        key = self._folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        (self._folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self._folder, host=socket.gethostname(), controller=free_port(), daemon=free_port()
            )
        )
        try:
            self._begin("munged", "--foreground", "--force", f"--key-file={key}", *(
                f"--{name}={self._folder}/munge.{name.partition('-')[0]}"
                for name in ("socket", "pid-file", "log-file", "seed-file")
            ))  # fmt: skip
            wait_until((self._folder / "munge.socket").exists, "munge")
            self._begin("slurmctld", "-D")
            self._begin("slurmd", "-D")
            wait_until(lambda: "idle" in self.call("sinfo", "--noheader"), "a node that is idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if len(self._running) == 3:
            self.call("scancel", "--user=root")
        for process in reversed(self._running):
            process.terminate()
            process.wait()

    def call(self, *command: str) -> str:
        """Run one of SLURM's programs; return what it says."""
        done = subprocess.run(command, env=self._all, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout

    @property
    def jobs(self) -> str:
        """What is queued or runs."""
        return self.call("squeue", "--noheader")

    @property
    def _all(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _begin(self, *command: str) -> None:
        self._running.append(begin_daemon(command, self._folder, self._all))
