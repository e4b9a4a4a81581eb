"""Whole runs on a bucket, in processes of their own that find it through a network of ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from failpoints import Begun, Ended, RunServer, run_here
from fault_proxy import FaultProxy

WRITES = ("PUT", "POST", "DELETE")


def run_there(pipe: Connection, environment: Mapping[str, str], dataset: str, store: str, *, force: bool) -> None:
    """Carry one run out in this process, with an environment of its own."""
    os.environ.update(environment)
    run_here(pipe, dataset, store, None, force=force, asking=False)


@dataclass(frozen=True)
class BucketRuns:
    """Begins runs that reach their bucket at one address."""

    server: RunServer
    environment: Mapping[str, str]

    def begin(self, dataset: object, store: str, proxy: FaultProxy, *, force: bool = False) -> Begun:
        """Begin a run."""
        ours, theirs = self.server.context.Pipe()
        environment = {**self.environment, "AWS_ENDPOINT_URL": proxy.url}
        arguments = (theirs, environment, str(dataset), store)
        process = self.server.context.Process(target=run_there, args=arguments, kwargs={"force": force})
        process.start()
        theirs.close()
        return Begun(process, ours)

    def run(self, dataset: object, store: str, proxy: FaultProxy) -> Ended:
        """Carry a run out."""
        return self.begin(dataset, store, proxy).end()

    def run_and_kill(self, dataset: object, store: str, proxy: FaultProxy, *, at: int, before: bool) -> bool:
        """Carry a run out, and SIGKILL it at its n-th write, from 0, before or after the server has done it.

        Returns whether the run wrote so often; heartbeats and the probe aside.
        """
        run: Any = None
        writes = 0

        def is_it(method: str, path: str) -> bool:
            nonlocal writes
            if method not in WRITES or "/lease/" in path:
                return False
            writes += 1
            return writes == at + 1

        def kill(method: str, path: str) -> str | None:
            if not is_it(method, path):
                return None
            os.kill(run.process.pid, signal.SIGKILL)
            return "reset"

        proxy.decide, proxy.answered = (kill, _pass) if before else (_pass, kill)
        try:
            run = self.begin(dataset, store, proxy)
            told = run.end()
        finally:
            proxy.decide = proxy.answered = _pass
        assert told.status in (0, -signal.SIGKILL), told
        return told.status != 0


def _pass(method: str, path: str) -> None:
    """Do nothing."""


def undisturbed(runs: BucketRuns, dataset: Path, store: Path) -> Path:
    """Carry the same run out on this disk."""
    told = runs.server.run(dataset, store)
    assert told.status == 0, told
    return store
