"""The console: what cannot be told ends no job, and takes no other file's place."""

from __future__ import annotations

import errno
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import make_manifest
from feature_stores import make_features_store

from us8k_batch.cli.console import LenientFile

US8K = f"{shlex.quote(sys.executable)} -m us8k_batch"


def sh(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, which redirects as users do."""
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store of 36 clips, which no test changes."""
    return make_features_store(tmp_path_factory.mktemp("console") / "store", clips=36)


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", ">/dev/full", ">&-", "<&- >&- 2>&-", "-v 2>/dev/full >&-"])
def test_an_extraction_ends_as_ever_whether_or_not_it_can_tell(tmp_path: Path, scheduler: str, where: str) -> None:
    """Closed or full, from the start: all is published, and the exit status is the job's own."""
    dataset = make_manifest(tmp_path, seconds=0.1)
    out = tmp_path / "store"
    done = sh(f"{US8K} extract {shlex.quote(str(dataset))} {shlex.quote(str(out))} --scheduler {scheduler} {where}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (out / "pooled.parquet").is_file()


@pytest.mark.parametrize("where", ["2>/dev/full", ">/dev/full", "2>&- >&-", "2>&1 | true"])
def test_training_ends_as_ever_whether_or_not_it_can_tell(store: Path, tmp_path: Path, where: str) -> None:
    """Also through warnings, the lines of a search and a reader that went away; the run is whole."""
    run = tmp_path / "run"
    line = f"{US8K} train {store} --model logistic --features mean --jobs 1 --out {run} {where}"
    done = sh(f"set -o pipefail; {line}")
    assert done.returncode == 0, done.stderr
    assert (run / "run.json").is_file()


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_an_object_that_is_lost_is_an_error_of_its_own(store: Path, tmp_path: Path, where: str) -> None:
    """--json: exit status 1 and one line that says why, without a traceback; the job itself is done."""
    run = tmp_path / "run"
    done = sh(f"{US8K} train {store} --model dummy --features mean --jobs 1 --out {run} --json -q {where}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("us8k train: stdout cannot be written (")
    assert (run / "run.json").is_file()


@pytest.mark.parametrize("what", ["status STORE", "status STORE --json", "--help", "pool --help"])
def test_an_answer_that_is_lost_is_an_error(store: Path, what: str) -> None:
    """What is called for its text alone has failed if that could not be written."""
    done = sh(f"{US8K} {what.replace('STORE', str(store))} >/dev/full")
    assert done.returncode == 1
    assert "stdout cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_encoding_that_lacks_a_sign_ends_no_job(store: Path, tmp_path: Path) -> None:
    """In ASCII the sign between a mean and its deviation is written by its number."""
    line = f"{US8K} train {store} --model dummy --features mean --jobs 1 --out {tmp_path / 'run'}"
    done = sh(f"PYTHONIOENCODING=ascii {line}")
    assert done.returncode == 0, done.stderr
    assert "\\xb1" in done.stdout


def test_a_terminal_that_is_gone_ends_no_job(store: Path, tmp_path: Path) -> None:
    """A daemon whose terminal was closed gets EIO for whatever it writes, also for bars."""
    ours, theirs = pty.openpty()
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "us8k_batch",
        "train",
        store,
        "--model",
        "dummy",
        "--features",
        "mean",
        "--out",
        run,
    ]
    with subprocess.Popen(
        [str(part) for part in command], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        os.close(ours)
        assert process.wait(240) == 0
    assert (run / "run.json").is_file()


def test_a_log_whose_disk_is_full_for_a_while_goes_on(tmp_path: Path) -> None:
    """What was lost is remembered until somebody asks, and what comes later is written."""
    ours, theirs = os.pipe()
    file = LenientFile(theirs, "w")
    assert file.write(b"one") == 3
    os.close(ours)
    assert file.write(b"two") == 3
    assert file.lost is not None
    assert file.lost.errno == errno.EPIPE
    file.close()


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """A terminal or pipe that another program made non-blocking loses nothing."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    line = f"import sys; from us8k_batch.cli import console; console.install(); console.show('x' * {1 << 20})"
    with subprocess.Popen([sys.executable, "-c", line], stdout=theirs) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb") as read:
            assert len(read.read()) == (1 << 20) + 1
        assert process.wait(60) == 0


def test_what_is_closed_is_not_taken_by_the_next_file(tmp_path: Path) -> None:
    """A file that is opened later never becomes stdout or stderr, into which anything may write."""
    line = (
        "from us8k_batch.cli import console; console.install(); import os;"
        f"print(os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY))"
        ";os.write(2, b'said by a library')"
    )
    done = sh(f'{shlex.quote(sys.executable)} -c "{line}" <&- >&- 2>&-')
    assert done.returncode == 0
    assert (tmp_path / "file").read_bytes() == b""
