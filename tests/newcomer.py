"""Somebody with an empty folder, who types what is written; and a server with the archive that they ask for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from archives import serve
from click.testing import CliRunner
from datasets import make_urbansound8k, metadata_of, read_rows, write_rows
from documented import Step

from us8k_batch.catalog import fetch
from us8k_batch.cli import main

ROOT = Path(__file__).parents[1]
CLIPS, CLASSES, FOLDS = 90, 4, 3
"""Of the dataset that stands for UrbanSound8K: a synthetic one of so many clips, less the other classes."""
SMALLER = {
    "--clips 500": "--clips 20",
    "--trials 20": "--trials 1",
    "[0, 1]": "[0]",
    "pip install .": f"{shlex.quote(sys.executable)} -m pip install --quiet --no-index --no-build-isolation "
    f"--no-deps --target site {shlex.quote(str(ROOT))}",
}
"""What is typed here in place of what stands there, so that it is done in seconds and without a network."""
MEANT = {"DATASET": "UrbanSound8K", "STORE": "features", "100032-3-0-0.wav": "1000000-0-0-0.wav"}
"""Names that stand for what the reader has. The address of a scheduler stands for that of one."""


@dataclass(frozen=True)
class Done:
    """How a step ended."""

    status: int
    said: str


def replaced(text: str, names: dict[str, str]) -> str:
    """Put other names in place of some, where they stand alone."""
    for there, here in names.items():
        text = re.sub(rf"(?<!\S){re.escape(there)}(?!\S)", lambda _, here=here: here, text)
    return text


class Reader:
    """Somebody with an empty folder, who types what is written."""

    def __init__(self, folder: Path, scheduler: str) -> None:
        self._folder = folder
        self._scheduler = scheduler

    def do(self, step: Step) -> Done:
        """Do one step; nothing that it does to the environment outlasts it."""
        if step.kind == "python":
            return self._python(step.text)
        command = replaced(step.text, {**SMALLER, **MEANT})
        command = re.sub(r"tcp://127\.0\.0\.1:8786", self._scheduler, command)
        words = shlex.split(command)
        with pytest.MonkeyPatch.context() as patch:
            while "=" in words[0]:
                patch.setenv(*words.pop(0).split("=", 1))
            if {"--scheduler", "--scheduler-file", "--cluster"} & set(words) and words[1] == "extract":
                shutil.rmtree(words[3])  # there must be something for the cluster to do
                patch.delenv("DASK_SCHEDULER_ADDRESS")
            if words[0] == "us8k":
                return _us8k([part for word in words[1:] for part in self._matching(word)])
            if words[:1] == ["python"]:
                patch.setattr(sys, "argv", words[1:])
                return _script(words[1])
            # Only here, because caches of compiled kernels and fonts are at home.
            patch.setenv("HOME", str(self._folder))
            done = subprocess.run(
                ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            return Done(done.returncode, done.stdout)

    def _matching(self, word: str) -> list[str]:
        if "*" not in word:
            return [word]
        # As a shell does, without those that begin with a dot.
        found = (path.relative_to(self._folder) for path in self._folder.glob(word) if path.name[0] != ".")
        return sorted(map(str, found))

    def _python(self, text: str) -> Done:
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            try:
                exec(compile(text, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102  # the promise
            except Exception as error:  # whatever it is, it did not end well
                return Done(1, f"{told.getvalue()}{type(error).__name__}: {error}")
        return Done(0, told.getvalue())


def _us8k(arguments: list[str]) -> Done:
    result = CliRunner().invoke(main, arguments, prog_name="us8k")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.output)


def _script(path: str) -> Done:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told), pytest.raises(SystemExit) as ended:
        runpy.run_path(path, run_name="__main__")
    return Done(int(ended.value.code or 0), told.getvalue())


@contextlib.contextmanager
def archive_served(folder: Path) -> Iterator[None]:
    """Serve a synthetic dataset as the archive that ``us8k fetch`` asks for; its clips are the genuine ones."""
    dataset = make_urbansound8k(folder / fetch.TOP, clips=CLIPS, seconds=0.2)
    rows, recordings = [], defaultdict[str, list[str]](list)
    for row in read_rows(dataset):
        there = dataset / f"audio/fold{row['fold']}" / row["slice_file_name"]
        of_class = recordings[row["class"]]
        if int(row["classID"]) >= CLASSES:
            there.unlink()
            continue
        if row["fsID"] not in of_class:
            of_class.append(row["fsID"])
        row["fold"] = str(1 + of_class.index(row["fsID"]) % FOLDS)
        there.rename(dataset / f"audio/fold{row['fold']}" / there.name)
        rows.append(row)
    write_rows(metadata_of(dataset), rows)
    clips = {str(path.relative_to(dataset)): path.read_bytes() for path in sorted(dataset.glob("audio/*/*.wav"))}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        tar.add(dataset / "audio", f"{fetch.TOP}/audio")
        tar.add(dataset / fetch.METADATA, f"{fetch.TOP}/{fetch.METADATA}")
    genuine = pa.table(
        {
            "path": list(clips),
            "size": pa.array([len(data) for data in clips.values()], pa.int64()),
            "sha256": [hashlib.sha256(data).digest() for data in clips.values()],
        }
    )
    archive = packed.getvalue()
    with serve(archive) as served, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "URL", served.url)
        patch.setattr(fetch, "MD5", hashlib.md5(archive, usedforsecurity=False).hexdigest())
        patch.setattr(fetch, "load_genuine", lambda: genuine)
        yield
