"""Workers that do not fit, each really so: an older package, and hosts on which something else is mounted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from clusters import HandStarted
from datasets import make_manifest, write_tone
from failpoints import python_path
from runs import Runner
from stores import stamps
from test_full_disk import MOUNT, can_mount

import us8k_batch
from us8k_batch.errors import RequestError

Record = Callable[[str, object], None]
MOUNTED = 'mount --bind "$1" "$2"; shift 2; exec "$@"'


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandStarted]:
    """Start a scheduler."""
    with HandStarted(folder=tmp_path / "dask") as hand:
        yield hand.start_scheduler()


def join(hand: HandStarted, *, wrapped: Sequence[object] = (), environment: Mapping[str, str] | None = None) -> None:
    """Start one worker, in a command that is wrapped around it."""
    hand.kill_workers()
    command = [sys.executable, "-m", "dask", "worker", hand.address, "--no-nanny", "--nthreads", "1",
               "--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(hand.folder)]  # fmt: skip
    with (hand.folder / "log.txt").open("ab") as log:
        hand.workers.append(
            subprocess.Popen(
                [*map(str, wrapped), *command],
                env={**os.environ, "PYTHONPATH": python_path(), **(environment or {})},
                cwd=hand.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )


def older(folder: Path) -> Mapping[str, str]:
    """Copy the package, as it might have been once; return what makes a worker find that one."""
    package = Path(us8k_batch.__file__).parent
    shutil.copytree(package, folder / "us8k_batch", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "us8k_batch/version.py"
    file.write_text(re.sub(r"^__version__ = .*$", '__version__ = "0.0.9"', file.read_text(), flags=re.MULTILINE))
    return {"PYTHONPATH": os.pathsep.join([str(folder), python_path()])}


@pytest.mark.skipif(not can_mount(), reason="mounting is not permitted here")
def test_a_worker_that_does_not_fit_is_refused_by_name(
    hand: HandStarted, tmp_path: Path, record_property: Record
) -> None:
    """Exit 2, with the worker's address, what is the matter and what to do; and not a byte of the store changes."""
    dataset = make_manifest(tmp_path / "data", clips=4, seconds=0.1, formats=("WAV",))
    store, other, empty = tmp_path / "store", tmp_path / "other", tmp_path / "empty"
    empty.mkdir()
    runner = Runner(hand.address)
    join(hand)
    runner.extract(dataset, store)
    runner.extract(dataset, other, assignments=("n_mfcc=5", "max_seconds=1"))
    write_tone(tmp_path / "data/audio/clip000.wav", frequency=5000, seconds=0.1)
    before = stamps(store)
    misfits = {
        rf"has other versions: us8k_batch 0\.0\.9 \(client: {re.escape(us8k_batch.__version__)}\); install": {
            "environment": older(tmp_path / "older")
        },
        rf"sees another store at {store}; mount the same one": {"wrapped": (*MOUNT, MOUNTED, "sh", other, store)},
        rf"does not see the store {store}; mount it at the same path": {
            "wrapped": (*MOUNT, MOUNTED, "sh", empty, store)
        },
        rf"does not see the dataset {tmp_path}/data \(.*\); mount it at the same path": {
            "wrapped": (*MOUNT, MOUNTED, "sh", empty, tmp_path / "data")
        },
    }
    for what, how in misfits.items():
        join(hand, **how)
        with pytest.raises(RequestError, match=rf"worker tcp://127\.0\.0\.1:\d+: {what}") as refused:
            runner.extract(dataset, store)
        assert refused.value.exit_status == 2
        now = stamps(store)
        assert {key: now.get(key) for key in before if not key.startswith("lease/")} == {
            key: stamp for key, stamp in before.items() if not key.startswith("lease/")
        }
        assert list(empty.rglob("*")) == []
    join(hand)
    assert runner.extract(dataset, store).extracted == 1
    record_property("figure", f"{len(misfits)} of {len(misfits)} misfits refused by name")
