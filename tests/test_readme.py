"""The README: all that it tells its reader to type is typed, in its order, in a folder where nothing is yet.

A step that is neither done here nor listed in `ELSEWHERE` fails. The pages of ``cluster/`` are held to the same.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import click
import pytest
from audio_files import make_audio
from conftest import S3_ENVIRONMENT
from datasets import make_urbansound8k, upload
from documented import Step, fenced, steps
from newcomer import ROOT, SMALLER, Reader, archive_served, replaced

from us8k_batch.cli import COMMANDS, main

if TYPE_CHECKING:
    from clusters import HandStarted

README = (ROOT / "README.md").read_text()
CLUSTERS = [path.read_text() for path in sorted((ROOT / "cluster").rglob("README.md"))]
STEPS = list(dict.fromkeys(step for page in (README, *CLUSTERS) for step in steps(page)))
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
