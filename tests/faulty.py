"""Break the real thing at one of its writes: imported by a client, or by a worker as its preload, before it works."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from failpoints import DEEDS, Deed, Steps, python_path

FAULT = "US8K_TEST_FAULT"
CLIENT = "import faulty; watched = faulty.watch(); from us8k_batch.cli import main; main(prog_name='us8k')"


def start(
    folder: Path, *arguments: str | Path, at: str = "", how: str = "", store: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start ``us8k`` as the leader of a process group; what it says goes to ``log.txt`` in a folder.

    The first of client and workers to come to a step whose name matches `at` is broken; `how` is one of `DEEDS`,
    ``all killed``, or ``waits``: until there is a file ``go``, and leaving a file ``there``.
    """
    for name in ("once", "there", "go"):
        (folder / name).unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": python_path()}
    if at:
        environment[FAULT] = json.dumps({"store": str(store), "at": at, "how": how, "folder": str(folder)})
        environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = '["faulty"]'
    command = [sys.executable, *(["-c", CLIENT] if at else ["-m", "us8k_batch"]), *map(str, arguments)]
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log)


def watch() -> contextlib.ExitStack:
    """Watch this process from now on, and break it as the environment says."""
    given = json.loads(os.environ[FAULT])
    folder = Path(given["folder"])
    deeds: dict[str, Deed] = {**DEEDS, "all killed": _all_killed, "waits": lambda step: _wait(folder, step)}

    def act(step: str, _: int) -> Deed | None:
        if not re.fullmatch(given["at"], step):
            return None
        try:
            (folder / "once").touch(exist_ok=False)
        except FileExistsError:
            return None
        return deeds[given["how"]]

    stack = contextlib.ExitStack()
    stack.enter_context(Steps(Path(given["store"]), act).watched())
    return stack


def dask_setup(worker: Any) -> None:
    """Watch a worker as long as it lives."""
    worker.watched = watch()


def _all_killed(_: Callable[[], Any]) -> None:
    os.killpg(0, signal.SIGKILL)


def _wait(folder: Path, step: Callable[[], Any]) -> Any:
    (folder / "there").touch()
    pause = threading.Event()
    while not (folder / "go").exists():
        pause.wait(0.01)
    return step()
