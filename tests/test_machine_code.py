"""Where machine code is kept: safely, once per machine, and never in the way of the work."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import us8k_batch
from us8k_batch.features.fast.library import load_library
from us8k_batch.features.fast.machine_code import FILE, MachineCode, make_private, open_machine_code

CODE = bytes(range(256)) * 40
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")


def must_not_compile() -> bytes:
    """Fail instead of compiling."""
    raise AssertionError("compiled")


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


# --- the real kernels ---

PROGRAM = """
import json, sys
from us8k_batch.config import FeatureConfig
from us8k_batch.features.engine import make_engine
from us8k_batch.features.fast import library
from us8k_batch.features.fast.machine_code import open_machine_code
library._compile = sys.stdin.buffer.read
make_engine(FeatureConfig(max_seconds=4.0), "auto")
heavy = [name for name in ("numba", "librosa", "scipy", "dask", "pandas") if name in sys.modules]
print(json.dumps([library.load_library().compiled, str(open_machine_code().folder), heavy]))
"""


def start_engine(environment: dict[str, str], code: bytes) -> tuple[bool, Path]:
    """Make an engine in a process of its own, with this instead of a compiler; return if it was asked, and where.

    It imports nothing heavy.
    """
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, input=code, env={**os.environ, **environment})
    compiled, path, heavy = json.loads(done.stdout)
    assert not heavy
    return compiled, Path(path)


def test_a_read_only_home_and_a_second_process(tmp_path: Path) -> None:
    """Without a home that can be written, kernels are kept among temporary files, and the next process loads."""
    load_library()
    code, _ = open_machine_code().load(must_not_compile)
    environment = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": "", "TMPDIR": str(tmp_path)}
    compiled, folder = start_engine(environment, code)
    assert compiled
    assert folder.parent == tmp_path / f"us8k-batch-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert start_engine(environment, b"") == (False, folder)


def test_what_code_depends_on_has_another_folder(tmp_path: Path) -> None:
    """Machine code of other sources, processors or settings is never loaded: it lies in a folder of another name."""
    program = """
import json, os, sys
from us8k_batch.features.fast import machine_code
name = lambda: str(machine_code.open_machine_code().folder)
names = [name(), name()]
for source in json.loads(sys.argv[1]):
    with open(source, "a") as file:
        file.write("# changed")
    names.append(name())
os.environ["NUMBA_OPT"] = "1"
names.append(name())
machine_code.name_processor = lambda: ("another", "")
names.append(name())
machine_code._version_of_numba = lambda: []
names.append(name())
print(json.dumps(names))
"""
    package = tmp_path / "us8k_batch"
    shutil.copytree(Path(us8k_batch.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    sources = [str(package / "features" / "fast" / name) for name in ("fft.py", "kernels/lanes.py")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    command = [sys.executable, "-c", program, json.dumps(sources)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, cwd=tmp_path)
    first, again, *others = json.loads(done.stdout)
    assert first == again
    assert first.startswith(f"{tmp_path}/us8k-batch/kernels-")
    assert len({first, *others}) == 6


# --- keeping ---


def test_what_was_compiled_is_loaded(folder: Path) -> None:
    """What one process compiled the next one loads; nothing else is left in the folder but the lock."""
    assert MachineCode(folder).load(lambda: CODE) == (CODE, True)
    assert MachineCode(folder).load(must_not_compile) == (CODE, False)
    assert sorted(path.name for path in folder.iterdir()) == [FILE, "lock"]


@pytest.mark.parametrize("damage", ["emptied", "cut off", "zeros", "something else", "one bit"])
def test_damaged_files_are_compiled_anew(damage: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that was cut off or overwritten costs a warning and a compilation, once."""
    MachineCode(folder).load(lambda: CODE)
    path = folder / FILE
    data = path.read_bytes()
    damaged = {
        "emptied": b"",
        "cut off": data[: len(data) // 2],
        "zeros": bytes(len(data)),
        "something else": b"else",
        "one bit": data[:-1] + bytes([data[-1] ^ 1]),
    }
    path.write_bytes(damaged[damage])
    assert MachineCode(folder).load(lambda: CODE) == (CODE, True)
    assert MachineCode(folder).load(must_not_compile) == (CODE, False)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and str(path) in warnings[0].getMessage()


def test_what_cannot_be_kept_is_used_all_the_same(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where files cannot be written after all, as on a full disk, the code is used, and a warning says why not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        assert MachineCode(folder).load(lambda: CODE) == (CODE, True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"cannot be kept in {folder}: [Errno {errno.EFBIG}]" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["lock"]
    assert MachineCode(folder).load(lambda: CODE) == (CODE, True)


def test_a_folder_that_vanishes(folder: Path) -> None:
    """If somebody cleans up between opening and loading, the code is used."""
    shutil.rmtree(folder)
    assert MachineCode(folder).load(lambda: CODE) == (CODE, True)


def test_an_error_of_the_compiler_is_not_swallowed(folder: Path) -> None:
    """What fails is raised, and whoever comes next may compile."""
    with pytest.raises(AssertionError, match="compiled"):
        MachineCode(folder).load(must_not_compile)
    assert MachineCode(folder).load(lambda: CODE) == (CODE, True)


def test_one_of_many_processes_compiles(folder: Path) -> None:
    """Of processes that start together with nothing kept, one compiles; the others wait for it and load."""
    program = f"""
import sys, time
from pathlib import Path
from us8k_batch.features.fast.machine_code import MachineCode
folder, number = Path({str(folder)!r}), sys.argv[1]
def compile_slowly():
    (folder / ("compiled-" + number)).touch()
    while len(list(folder.glob("started-*"))) < 3:
        time.sleep(0.01)
    return b"from " + number.encode()
(folder / ("started-" + number)).touch()
print(MachineCode(folder).load(compile_slowly)[0].decode())
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(number)], stdout=subprocess.PIPE) for number in range(3)
    ]
    said = {process.communicate()[0] for process in processes}
    (compiled,) = folder.glob("compiled-*")
    assert said == {f"from {compiled.name[-1]}\n".encode()}


def test_others_wait_for_a_compiler_as_long_as_it_lives(folder: Path) -> None:
    """Whoever comes while a process compiles waits for it, without a deadline; one that is killed lets go."""
    program = f"""
import sys, time
from pathlib import Path
from us8k_batch.features.fast.machine_code import MachineCode
folder, name = Path({str(folder)!r}), sys.argv[1]
def compile_or_hang():
    (folder / ("compiles-" + name)).touch()
    while name == "first":
        time.sleep(60)
    return name.encode()
print(MachineCode(folder).load(compile_or_hang))
"""
    code = MachineCode(folder)
    with contextlib.ExitStack() as stack:

        def start(name: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([sys.executable, "-c", program, name], stdout=subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        first = start("first")
        wait_until((folder / "compiles-first").exists)
        second = start("second")
        wait_until(lambda: waits_for_a_lock(second.pid))
        assert code.is_being_compiled()
        assert not (folder / "compiles-second").exists()
        first.kill()
        assert second.communicate()[0] == b"(b'second', True)\n"
    assert not code.is_being_compiled()
    assert code.load(must_not_compile) == (b"second", False)


def waits_for_a_lock(pid: int) -> bool:
    """Tell whether a process is in the kernel's list of those that wait for a lock of a file."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(line[1] == "->" and line[2] == "FLOCK" and line[5] == str(pid) for line in lines)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_locks_what_is_not_kept_is_being_compiled(folder: Path) -> None:
    """Where nothing tells who compiles, a process that waits for code is taken to be compiling it."""
    assert MachineCode(None).is_being_compiled()
    assert MachineCode(folder).is_being_compiled()
    MachineCode(folder).load(lambda: CODE)
    (folder / "lock").unlink()
    assert not MachineCode(folder).is_being_compiled()


def test_code_for_the_processor_that_numba_is_told() -> None:
    """With NUMBA_CPU_NAME=generic code is made without this processor's instructions, SHA among them, and runs."""
    program = """
from us8k_batch.features.fast.kernels import sha256
from us8k_batch.features.fast.kernels.entries import compile_object
from us8k_batch.features.fast.object_code import ObjectCode, name_processor
def add(words):
    return words[0] + 1
print(name_processor(), sha256.supported())
import array
code, word = ObjectCode(compile_object({"add": add})), array.array("q", [41])
print(code.function("add", 1)(word.buffer_info()[0]))
"""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic"}
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, env=environment)
    assert done.stdout.decode() == "('generic', '') False\n42\n"


@pytest.mark.usefixtures("no_home")
def test_no_place_at_all(caplog: pytest.LogCaptureFixture) -> None:
    """Without any place, kernels are compiled in memory, after one warning that names a remedy."""
    code = open_machine_code()
    assert code.folder is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "XDG_CACHE_HOME" in caplog.text
    assert code.load(lambda: CODE) == (CODE, True)


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
