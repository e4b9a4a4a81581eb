"""Where machine code is kept: safely, once per machine, and never in the way of the work."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import us8k_batch
from us8k_batch.features.fast.jit import kernel
from us8k_batch.features.fast.machine_code import MachineCode, make_private, open_machine_code

ARGUMENTS = np.arange(3.0), 2.0
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")


def _scale(values: Any, factor: Any) -> Any:
    return factor * values.sum()


def make_kernel() -> Any:
    """Make a small kernel that is not compiled yet, as in a fresh process."""
    return kernel(_scale)


def load_small(folder: Path | None) -> Any:
    """Load or compile the small kernel, and see that it works."""
    small = make_kernel()
    MachineCode(folder).load(small, *ARGUMENTS)
    assert small(*ARGUMENTS) == 6.0
    return small


def hits(small: Any) -> int:
    """Count what was loaded instead of compiled."""
    return sum(small.stats.cache_hits.values())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a private folder."""
    made = make_private(tmp_path / "kernels")
    assert made is not None
    return made


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away every place that the environment names; /proc cannot be written even by root."""
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/cache")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/proc")


# --- the real kernels, compiled once for all of these ---

PROGRAM = """
import json
from us8k_batch.config import FeatureConfig
from us8k_batch.features.engine import make_engine
from us8k_batch.features.fast.extract import extract
make_engine(FeatureConfig(max_seconds=4.0), "auto")
count = lambda counts: sum(counts.values())
print(json.dumps([count(extract.stats.cache_hits), count(extract.stats.cache_misses), extract.stats.cache_path]))
"""


def start_engine(environment: dict[str, str]) -> tuple[int, int, Path]:
    """Make an engine in a process of its own; return kernels loaded and compiled, and where they are kept."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment})
    loaded, compiled, path = json.loads(done.stdout)
    return loaded, compiled, Path(path)


def test_a_read_only_home_and_a_second_process(tmp_path: Path) -> None:
    """Without a home that can be written, kernels are kept among temporary files, and the next process loads."""
    environment = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": "", "TMPDIR": str(tmp_path)}
    loaded, compiled, path = start_engine(environment)
    assert (loaded, compiled) == (0, 1)
    folder = path.parent
    assert folder.parent == tmp_path / f"us8k-batch-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert start_engine(environment) == (1, 0, path)


def test_changed_sources_have_another_folder(tmp_path: Path) -> None:
    """Machine code of other sources is never loaded: it lies in a folder of another name."""
    program = "from us8k_batch.features.fast.machine_code import open_machine_code as o; print(o().folder)"
    package = tmp_path / "us8k_batch"
    shutil.copytree(Path(us8k_batch.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": ""}

    def name() -> str:
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, env=environment, cwd=tmp_path, text=True
        ).stdout

    before = name()
    assert before.startswith(f"{tmp_path}/us8k-batch/kernels-")
    assert name() == before
    for source in ("fft.py", "lanes.py"):
        with (package / "features" / "fast" / source).open("a") as file:
            file.write("# changed\n")
        assert name() != before


# --- small kernels ---


def test_the_next_process_loads(folder: Path) -> None:
    """What one process compiled the next one loads."""
    assert hits(load_small(folder)) == 0
    assert hits(load_small(folder)) == 1


def test_numbas_own_setting_stays(folder: Path) -> None:
    """Where other numba code keeps its files is not changed."""
    before = numba.config.CACHE_DIR
    load_small(folder)
    assert before == numba.config.CACHE_DIR


@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
@pytest.mark.parametrize("damage", ["emptied", "cut off", "zeros", "something else"])
def test_damaged_files_are_compiled_anew(
    damage: str, suffix: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was cut off or overwritten costs a warning and a compilation, once."""
    load_small(folder)
    (path,) = folder.rglob(f"*{suffix}")
    data = path.read_bytes()
    damaged = {
        "emptied": b"",
        "cut off": data[: len(data) // 2],
        "zeros": bytes(len(data)),
        "something else": b"else",
    }
    path.write_bytes(damaged[damage])
    assert hits(load_small(folder)) == 0
    assert hits(load_small(folder)) == 1
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and str(folder) in warnings[0].getMessage()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_kept_is_used_all_the_same(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where files cannot be written after all, as on a full disk, the kernel works, and a warning says why not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        assert hits(load_small(folder)) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"{folder}: OSError: [Errno {errno.EFBIG}]" in caplog.text
    assert hits(load_small(folder)) == 0


def test_a_folder_that_vanishes(folder: Path) -> None:
    """If somebody cleans up between opening and loading, the kernel works."""
    shutil.rmtree(folder)
    assert hits(load_small(folder)) == 0


def test_an_error_of_the_kernel_is_not_swallowed(folder: Path) -> None:
    """What fails however often it is compiled is raised."""
    with pytest.raises(numba.TypingError):
        MachineCode(folder).load(make_kernel(), "text", 1.0)


def test_many_processes_at_once(folder: Path) -> None:
    """Processes that start together with nothing kept all get the right kernel, and leave one that can be loaded."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_machine_code import load_small
from pathlib import Path
load_small(Path({str(folder)!r}))
"""
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert hits(load_small(folder)) == 1
    assert sorted(path.suffix for path in folder.rglob("*.*")) == [".nbc", ".nbi"]


@pytest.mark.usefixtures("no_home")
def test_no_place_at_all(caplog: pytest.LogCaptureFixture) -> None:
    """Without any place, kernels are compiled in memory, after one warning that names a remedy."""
    code = open_machine_code()
    assert code.folder is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "XDG_CACHE_HOME" in caplog.text
    assert hits(load_small(None)) == 0


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"])
def test_each_place_is_found(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba's own variable, the user's caches and the home directory each serve; parents are made."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "new"))
    folder = open_machine_code().folder
    assert folder is not None and folder.is_relative_to(tmp_path / "new")


# --- safety ---


def test_a_folder_is_private(tmp_path: Path) -> None:
    """A folder is closed to everybody else, under any umask, and is taken again the next time."""
    before = os.umask(0)
    try:
        folder = make_private(tmp_path / "deep" / "kernels")
    finally:
        os.umask(before)
    assert folder is not None and folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o022 == 0
    assert make_private(folder) == folder


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o755, 0o1777])
def test_a_folder_that_others_may_enter_is_refused(mode: int, tmp_path: Path) -> None:
    """A folder that anybody else may read or write is not used, although it is ours."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(mode)
    assert make_private(folder) is None


@pytest.mark.parametrize(
    ("mode", "safe"), [(0o777, False), (0o770, False), (0o702, False), (0o1777, True), (0o755, True)]
)
def test_a_folder_whose_parent_others_may_write(mode: int, safe: bool, tmp_path: Path) -> None:
    """Whoever may rename the folder could replace it; in a sticky parent, as /tmp is, only we may."""
    parent = tmp_path / "parent"
    (parent / "between").mkdir(parents=True)
    parent.chmod(mode)
    assert (make_private(parent / "between" / "kernels") is not None) == safe


def test_a_link_is_refused(tmp_path: Path) -> None:
    """A link in the place of the folder is not followed, wherever it leads."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "kernels").symlink_to(tmp_path / "elsewhere")
    assert make_private(tmp_path / "kernels") is None


def test_a_linked_parent_is_judged_where_it_leads(tmp_path: Path) -> None:
    """A home directory may be a link; what counts is who may write where it leads."""
    safe, open_to_all = tmp_path / "safe", tmp_path / "open"
    safe.mkdir()
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for target, expected in ((safe, safe / "kernels"), (open_to_all, None)):
        link = tmp_path / f"to-{target.name}"
        link.symlink_to(target)
        assert make_private(link / "kernels") == expected


@AS_ROOT
@pytest.mark.parametrize("which", ["folder", "parent"])
def test_a_folder_of_somebody_else_is_refused(which: str, tmp_path: Path) -> None:
    """A folder that belongs to another user, or lies in theirs, is not used: they could put code there."""
    folder = tmp_path / "parent" / "kernels"
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder if which == "folder" else folder.parent, 12345, -1)
    assert make_private(folder) is None


def test_a_file_in_its_place(tmp_path: Path) -> None:
    """A file where the folder should be is left alone."""
    (tmp_path / "kernels").write_text("mine")
    assert make_private(tmp_path / "kernels") is None
    assert (tmp_path / "kernels").read_text() == "mine"
