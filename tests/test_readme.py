"""The README: all that it tells its reader to type is typed, in its order, in a folder where nothing is yet.

A step that is neither done here nor listed in `ELSEWHERE` fails. The pages of ``cluster/`` are held to the same.
"""

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
from typing import TYPE_CHECKING

import boto3
import click
import pyarrow as pa
import pytest
from archives import serve
from audio_files import make_audio
from click.testing import CliRunner
from conftest import S3_ENVIRONMENT
from datasets import make_urbansound8k, metadata_of, read_rows, upload, write_rows
from documented import Step, fenced, steps

from us8k_batch.catalog import fetch
from us8k_batch.cli import COMMANDS, main

if TYPE_CHECKING:
    from clusters import HandStarted

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CLUSTERS = [path.read_text() for path in sorted((ROOT / "cluster").rglob("README.md"))]
STEPS = list(dict.fromkeys(step for page in (README, *CLUSTERS) for step in steps(page)))
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
RUNS_TESTS = "makes an environment of its own, and runs tests there"
MEASURES = "measures for minutes to hours"
ELSEWHERE: dict[str, tuple[str, str]] = {
    "make demo": ("makes an environment of its own", "test_cli.py::test_the_demo_prints_commands_that_run"),
    "us8k demo demo": ("is run with its output", "test_cli.py::test_the_demo_prints_commands_that_run"),
    "us8k extract UrbanSound8K features --cluster": (
        "starts a cluster of its own", "test_connect.py::test_a_specification_is_started_and_stopped"
    ),
    "dask us8k": ("is a name, not a command", "test_cli.py::test_the_command_has_three_names"),
    "make test": (RUNS_TESTS, "test_readme.py::test_what_the_readme_says_is_done"),
    "make chaos": (RUNS_TESTS, "chaos/test_matrix.py"),
    "make lint": (RUNS_TESTS, "../.ci/run"),
    "make lock": ("asks a package registry", "../.ci/lock.py"),
    "make audit": ("asks for advisories over the network", "../requirements.lock"),
    "make fuzz": ("tries for minutes", "fuzz/fuzz_commit.py"),
    "make bench": (MEASURES, "../benchmarks/results.py"),
    "make pictures": ("drives Chromium", "test_terminal.py::test_a_recording_becomes_a_picture"),
    "pip install --no-deps": ("make demo installs the same lock", "test_readme.py::test_make_knows_its_targets"),
    "us8k extract DATASET STORE --cluster FILE.yaml": (
        "FILE stands for the files below", "test_clusters_of_files.py::test_each_specification_is_one"
    ),
    "us8k extract DATASET STORE --cluster cluster/slurm/": (
        "needs SLURM", "test_clusters_of_files.py::test_the_job_that_slurm_gets"
    ),
    "sbatch": ("needs SLURM", "test_clusters_of_files.py::test_the_job_that_slurm_gets"),
    "DASK_CONFIG=~/us8k-tls us8k extract DATASET STORE --cluster cluster/ssh/": (
        "needs hosts", "test_clusters_of_files.py::test_a_run_on_machines_reached_over_ssh"
    ),
    "for host in": ("needs hosts", "test_clusters_of_files.py::test_a_run_on_machines_reached_over_ssh"),
    "rsync": ("needs hosts", "test_clusters_of_files.py::test_a_run_on_machines_reached_over_ssh"),
    "done": ("ends a loop", "test_clusters_of_files.py::test_every_folder_says_how_it_is_used"),
    "$EDITOR": ("needs hands", "test_clusters_of_files.py::test_a_run_on_machines_reached_over_ssh"),
    "export": ("is for docker", "test_clusters_of_files.py::test_what_compose_gets"),
    "docker": ("needs containers", "test_clusters_of_files.py::test_what_compose_gets"),
    "cluster/tls/make.sh ~/us8k-tls 365 /etc/us8k-tls": (
        "is for docker", "test_clusters_of_files.py::test_what_compose_gets"
    ),
    "helm": ("needs Kubernetes", "test_clusters_of_files.py::test_what_the_operator_gets"),
    "kubectl": ("needs Kubernetes", "test_clusters_of_files.py::test_what_the_operator_gets"),
    "for role in": ("needs Kubernetes", "test_clusters_of_files.py::test_what_the_operator_gets"),
    "DASK_CONFIG=~/us8k-tls/": ("outlives its command", "test_spec.py::test_hand_started_processes_speak_tls"),
    "dask scheduler": ("outlives its command", "test_connect.py::test_a_running_scheduler_is_used_by_its_address"),
    "dask worker": ("outlives its command", "test_connect.py::test_a_running_scheduler_is_used_by_its_address"),
}  # fmt: skip
"""What is not done here, by its beginning: why, and what covers it instead, from this folder."""


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


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, hand_started: HandStarted, s3_endpoint: str) -> Iterator[Reader]:
    """Give an empty folder what its reader brings: a checkout, sounds, a bucket, a running cluster, one core."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("jobs", "cluster"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "grid.toml").write_text(replaced(*fenced(README, "toml"), SMALLER))
    (folder / "birds.csv").write_text(*fenced(README, "csv"))
    for line in (folder / "birds.csv").read_text().splitlines()[1:]:
        sound = folder / line.partition(",")[0]
        sound.parent.mkdir(exist_ok=True)
        sound.write_bytes(make_audio(seconds=0.1))
    (folder / "new.wav").write_bytes(make_audio(seconds=0.3))
    shutil.copy(hand_started.scheduler_file, folder / "scheduler.json")
    with archive_served(tmp_path_factory.mktemp("archive")), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DASK_SCHEDULER_ADDRESS", hand_started.address)
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        for name, value in {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": s3_endpoint}.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="bucket")
        upload(make_urbansound8k(folder / "few", clips=4, seconds=0.1), "s3://bucket/UrbanSound8K")
        yield Reader(folder, hand_started.address)


def elsewhere(step: Step) -> bool:
    """Whether a step is not done here."""
    return step.kind == "sh" and step.text.startswith(tuple(ELSEWHERE))


@pytest.mark.timeout(900)  # one test, because each step needs those before it
def test_what_the_readme_says_is_done(reader: Reader) -> None:
    """Step by step, to the end; whatever did not end well is named, with what it said."""
    failed = {}
    for step in STEPS:
        if not elsewhere(step):
            done = reader.do(step)
            if done.status or "Traceback" in done.said:
                failed[str(step)] = f"exit {done.status}: {done.said}"
    assert failed == {}, "\n".join(f"$ {step}\n{said}" for step, said in failed.items())


def test_what_is_not_done_here_is_covered_elsewhere() -> None:
    """Each exception is still needed, and what it names is there."""
    unused = [text for text in ELSEWHERE if not any(step.text.startswith(text) for step in STEPS)]
    assert unused == []
    for _, where in ELSEWHERE.values():
        file, _, test = where.partition("::")
        assert (
            f"def {test}(" in (Path(__file__).parent / file).read_text() if test else (ROOT / "tests" / file).exists()
        )


def test_make_knows_its_targets() -> None:
    """Every target that is named exists, and what it is made from does too."""
    targets = [shlex.split(step.text)[1] for step in STEPS if step.text.startswith("make ")]
    assert {"demo", "test", "chaos"} <= set(targets)
    subprocess.run(["make", "--dry-run", *targets, "test-browser"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """A step shows it."""
    assert any(step.text.startswith(f"us8k {name} ") for step in steps(README))


def test_only_commands_and_options_that_exist_are_named() -> None:
    """Also within a sentence, or where a command is listed as done elsewhere."""
    context = click.Context(main)
    for line in "\n".join([README, *CLUSTERS]).splitlines():
        for name, rest in re.findall(r"\bus8k (\w+)((?: [^`#|]*)?)", line):
            if name in COMMANDS:
                command = main.get_command(context, name)  # type: ignore[attr-defined]
                known = {text for option in command.params for text in option.opts}
                assert set(re.findall(r"(--[a-z][a-z-]+)", rest)) <= known | {"--wrap"}, line


def test_the_messages_that_it_explains_are_ours() -> None:
    """Each message in the table of remedies stands in the source, so that it can be searched for."""
    section = README.split("## What a message means")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    source = "".join(file.read_text() for file in (ROOT / "us8k_batch").rglob("*.py"))
    assert len(messages) >= 10
    assert [message for message in messages if message not in source] == []


def test_it_promises_no_more_speed_than_was_measured() -> None:
    """The ratio is that of the results page, or less; so is what values may differ by."""
    results = (ROOT / "benchmarks/results.md").read_text()
    promised = re.findall(r"(\d+) times as fast\*\* as joblib and librosa.*?by more than ([\d.]+)", README, re.DOTALL)
    measured = re.findall(
        r"largest difference of any MFCC value is (\S+)\..*?joblib \+ librosa.*?\*\*([\d.]+)", results, re.DOTALL
    )
    ((ratio, difference),), ((found, faster),) = promised, measured
    assert float(ratio) <= float(faster)
    assert float(found) <= float(difference)


@pytest.mark.parametrize("page", ["README.md", "benchmarks/esc10.md", "benchmarks/scale.md", "benchmarks/results.md"])
def test_what_a_page_points_to_is_there(page: str) -> None:
    """Pictures, pages and modules."""
    text = (ROOT / page).read_text()
    places = [place for place in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in place]
    assert [place for place in places if not ((ROOT / page).parent / place).exists()] == []
