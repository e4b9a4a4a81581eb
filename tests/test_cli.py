"""The command: what it promises on stdout and stderr, in exit statuses, and of its own help."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import dask.config
import pytest
from click.testing import CliRunner
from datasets import make_manifest, make_urbansound8k
from stores import files
from terminals import on_a_terminal

from us8k_batch.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-m", "us8k_batch"]
HEAVY = (
    "numpy",
    "pandas",
    "pyarrow",
    "dask",
    "distributed",
    "zarr",
    "librosa",
    "scipy",
    "sklearn",
    "soundfile",
    "rich",
)
PLANNED = {"new", "changed", "touched", "relabelled", "retried", "removed", "missing", "unchanged"}
EXTRACT = {
    "run_id", "store", "planned", "extracted", "failed", "failures", "live", "seconds", "clips_per_second",
    "audio_seconds", "workers",
}  # fmt: skip
KEYS = {
    "extract": EXTRACT,
    "plan": {
        "store", "planned", "resumed", "abandoned_shards", "read_bytes", "estimated_seconds", "nothing_to_do",
        "publish", "warnings",
    },
    "status": {
        "store", "config", "frames", "clips_per_shard", "live", "complete", "pending", "uncommitted", "states",
        "folds", "labels", "failures", "failed_clips", "versions", "snapshot", "runs",
    },
    "verify": {"store", "shards", "rows", "findings", "orphans"},
    "compact": {"store", "rows_before", "rows", "snapshot_id"},
    "check": {
        "dataset", "layout", "clips", "present", "size", "recordings", "findings", "problems", "duplicates",
        "crossings", "lookalikes", "contradictions", "classes", "census", "durations", "genuine",
    },
    "synth": {"folder", "clips", "seed"},
}  # fmt: skip
"""What ``--json`` prints."""
OPTIONS = {
    "--set", "--config", "--clips-per-shard", "--retry-failed", "--refresh", "--allow-removal", "--engine",
    "--max-failures", "--force", "--performance-report", "--dry-run", "--scheduler", "--scheduler-file", "--cluster",
    "--workers", "--columns", "--json", "--verbose", "--quiet",
}  # fmt: skip
"""What ``extract`` takes."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one line of stdout."""
        (line,) = self.out.splitlines()
        values: dict[str, Any] = json.loads(line)
        return values


def us8k(*arguments: str | Path) -> Done:
    """Run the command in this process."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="us8k")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return Done(status=result.exit_code, out=result.stdout, err=result.stderr)


def shell(*command: str | Path, **options: Any) -> Done:
    """Run a program of its own."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=240, check=False, **options
    )
    assert "Traceback" not in done.stderr
    return Done(status=done.returncode, out=done.stdout, err=done.stderr)


def help_of(name: str) -> click.Command:
    """Return a command, for what it says of itself."""
    found = main.get_command(click.Context(main), name)  # type: ignore[attr-defined]
    assert isinstance(found, click.Command)
    return found


def options_of(name: str) -> set[str]:
    """Return the long options of a command."""
    return {text for option in help_of(name).params for text in option.opts if text.startswith("--")}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small dataset, which no test changes."""
    return make_manifest(tmp_path_factory.mktemp("dataset"), seconds=0.1)


@pytest.fixture(scope="module")
def first_store(dataset: Path, scheduler: str) -> Done:
    """Extract it by a program of its own, with --json."""
    return shell(*PROGRAM, "extract", dataset, dataset.with_name("store"), "--scheduler", scheduler, "--json")


@pytest.fixture
def store(first_store: Done, dataset: Path, tmp_path: Path) -> Path:
    """Copy the store of that dataset."""
    shutil.copytree(dataset.with_name("store"), tmp_path / "store")
    return tmp_path / "store"


def copied(dataset: Path, folder: Path) -> Path:
    """Copy the dataset alone, to be changed; return the manifest."""
    return shutil.copytree(dataset.parent, folder / "dataset", ignore=shutil.ignore_patterns("store")) / dataset.name


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look for a scheduler for a second only."""
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        yield


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    """--help says what it does, explains each option, and shows a call that begins with the command itself."""
    done = us8k(name, "--help")
    assert (done.status, done.err) == (0, "")
    assert re.search(rf"Example:\n +us8k {name} \S", done.out)
    assert all(getattr(option, "help", "") for option in help_of(name).params if isinstance(option, click.Option))
    assert {"--json", "--quiet", "--verbose"} <= options_of(name)


def test_the_options_of_extract_are_those_that_are_promised() -> None:
    """None less, none more, and each in --help."""
    assert options_of("extract") == OPTIONS
    text = us8k("extract", "--help").out
    assert [option for option in OPTIONS if option not in text] == []


def test_the_command_lists_its_commands_and_exit_statuses() -> None:
    """us8k --help names every command with a sentence, and says what the exit statuses mean."""
    done = us8k("--help")
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", done.out, re.MULTILINE)
    assert "130 interrupted, resumable" in " ".join(done.out.split())
    assert us8k("--version").out.startswith("us8k, version ")


def test_help_imports_nothing_heavy() -> None:
    """No array, table, audio or cluster library is imported to say how a command is called."""
    program = f"""
import sys
from us8k_batch.cli import COMMANDS, main
for name in ("", *COMMANDS):
    main([*name.split(), "--help"], standalone_mode=False)
print("heavy:", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    assert shell(sys.executable, "-c", program).out.splitlines()[-1] == "heavy:"


def test_extract_prints_one_object_on_stdout_and_the_rest_on_stderr(first_store: Done) -> None:
    """--json: exactly the promised keys on the only line of stdout; progress and summary on stderr."""
    values = first_store.json
    assert first_store.status == 0
    assert values.keys() == EXTRACT
    assert values["planned"] == dict.fromkeys(PLANNED, 0) | {"new": 12}
    assert (values["extracted"], values["failed"], values["failures"], values["live"]) == (12, 0, 0, 12)
    assert values["run_id"] is not None
    lines = first_store.err.splitlines()
    assert re.fullmatch(r"\d workers; dashboard http://\S+", lines[0])
    assert "extracting 12 clips" in lines
    assert lines[-1].startswith("12 clips are live in ")


def calls(dataset: Path, store: Path, folder: Path) -> dict[str, list[str | Path]]:
    """Return one call of every command that needs no cluster."""
    return {
        "extract": [dataset, store],
        "plan": [dataset, store],
        "status": [store],
        "verify": [store],
        "compact": [store, folder / "compacted"],
        "check": [dataset],
        "synth": [folder / "synthetic", "--clips", "3", "--seconds", "0.1"],
    }


@pytest.mark.parametrize("name", KEYS)
def test_every_command_keeps_to_json_text_and_silence(dataset: Path, store: Path, tmp_path: Path, name: str) -> None:
    """--json: its keys on stdout, text on stderr. Plain: the same text on stdout. -q: nothing, or the JSON alone."""
    keys = KEYS[name]
    told = us8k(name, *calls(dataset, store, tmp_path / "1")[name], "--json")
    plain = us8k(name, *calls(dataset, store, tmp_path / "2")[name])
    silent = us8k(name, *calls(dataset, store, tmp_path / "3")[name], "-q")
    both = us8k(name, *calls(dataset, store, tmp_path / "4")[name], "-q", "--json")
    assert [done.status for done in (told, plain, silent, both)] == [0, 0, 0, 0]
    assert told.json.keys() == both.json.keys() == keys
    assert (silent.out, silent.err, both.err) == ("", "", "")
    assert plain.out
    assert told.err


def test_a_dry_run_is_us8k_plan(dataset: Path, store: Path) -> None:
    """A dry run says what plan says, with cluster options or without."""
    plan = us8k("plan", dataset, store, "--json")
    assert us8k("extract", dataset, store, "--dry-run", "--scheduler", "tcp://127.0.0.1:1", "--json") == plan
    assert plan.json["planned"].keys() == PLANNED
    explained = us8k("plan", dataset, store, "--explain", "audio/clip000.wav", "--json").json
    assert explained.keys() == KEYS["plan"] | {"explained"}


def test_timings_are_told_by_stage(store: Path) -> None:
    """With --timings: a table for a person, and the same for a program."""
    done = us8k("status", store, "--timings")
    assert re.search(r"^decode +child +[\d.]+ +[\d.]+%$", done.out, re.MULTILINE)
    found = us8k("status", store, "--timings", "--json").json["timings"]
    assert found.keys() == {"run_id", "clips", "workers", "clips_per_second", "phases", "warm_up", "stages"}
    assert re.search(r"^warm-up: \d+ decoder children", done.out, re.MULTILINE)
    warm_up = found["warm_up"]
    assert 0 <= warm_up["compiled"] <= warm_up["children"]
    assert (warm_up["children"] > 0) == (warm_up["most_seconds"] > 0)  # none are started where workers are warm
    assert found["clips"] == 12
    assert {"read", "sha256", "decode", "compute", "encode", "write", "commit"} <= {
        s["stage"] for s in found["stages"]
    }
    shutil.rmtree(store / "runs")
    assert "no run has extracted anything yet" in us8k("status", store, "--timings").out


def broken(name: str) -> Callable[[Path], None]:
    """Spoil a store's description in one way."""

    def spoil(store: Path) -> None:
        document = json.loads((store / "us8k.json").read_text())
        ways = {
            "format": json.dumps(document | {"format": 99}),
            "foreign": '{"name": "something else"}',
            "text": "hello",
            "list": "[]",
            "frames": json.dumps(document | {"frames": 1}),
        }
        (store / "us8k.json").write_text(ways[name])

    return spoil


@pytest.mark.parametrize("command", ["extract", "plan", "status", "verify", "compact"])
@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("format", "store format 99, this program reads 1"),
        ("foreign", "not the description of a store"),
        ("text", "not the description of a store"),
        ("list", "not the description of a store"),
        ("frames", "its frames, shard and chunk sizes contradict each other"),
    ],
)
def test_a_store_of_another_format_is_refused(
    dataset: Path, store: Path, tmp_path: Path, command: str, way: str, told: str
) -> None:
    """The message names the store and what was found; nothing is written."""
    broken(way)(store)
    before = files(store, but=())
    done = us8k(command, *calls(dataset, store, tmp_path)[command])
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"us8k {command}: {store}")
    assert told in done.err
    assert files(store, but=()) == before


MISTAKES: dict[str, tuple[str, str, str]] = {
    "no dataset there": ("extract nowhere new", "nowhere", "no such file or folder"),
    "a folder that is no dataset": ("extract empty new", "empty", "expected metadata/UrbanSound8K.csv or"),
    "a manifest that is not there": ("extract nowhere.csv new", "nowhere.csv", "expected a manifest"),
    "a file that is no dataset": ("extract file new", "file", "expected a folder, or a manifest"),
    "a manifest without a column": ("extract bad.csv new", "bad.csv", "fold"),
    "a store that is a file": ("extract DATASET file", "file", "cannot be written"),
    "a store below a file": ("extract DATASET file/new", "file/new", "cannot be written"),
    "a store that cannot be written": ("extract DATASET /proc/new", "/proc/new", "cannot be written"),
    "a store of another scheme": ("extract DATASET http://host/new", "http://host/new", "expected a local path"),
    "a parameter without value": ("extract DATASET new --set nonsense", "--set nonsense", "expected key=value"),
    "an unknown parameter": ("extract DATASET new --set n_mfc=13", "n_mfc", "known are sample_rate"),
    "a parameter out of range": ("extract DATASET new --set n_mfcc=0", "n_mfcc = 0", "expected 1 to"),
    "a parameter of another type": ("extract DATASET new --set n_mfcc=x", "n_mfcc = 'x'", "expected a whole number"),
    "bad TOML": ("extract DATASET new --config bad.toml", "bad.toml", "expected a TOML file"),
    "no TOML": ("extract DATASET new --config nowhere.toml", "nowhere.toml", "expected a TOML file"),
    "an unknown engine": ("extract DATASET new --engine fast", "--engine", "'auto', 'librosa'"),
    "an unknown refresh": ("extract DATASET new --refresh all", "--refresh", "'versions'"),
    "a bad limit": ("extract DATASET new --max-failures many", "--max-failures many", "such as 50, or 5%"),
    "no shard size": ("extract DATASET new --clips-per-shard 0", "--clips-per-shard 0", "expected 1 or more"),
    "too large a shard": (
        "extract DATASET new --clips-per-shard 99999 --set max_seconds=4", "--clips-per-shard 99999", "expected 1 to"
    ),
    "too long clips": ("extract DATASET new --set max_seconds=86400", "max_seconds = 86400", "truncate=true"),
    "no workers": ("extract DATASET new --workers 0", "us8k.workers = 0", "expected a whole number from 1"),
    "no scheduler there": ("extract DATASET new --scheduler tcp://127.0.0.1:1", "tcp://127.0.0.1:1", "is it running"),
    "no scheduler's address": ("extract DATASET new --scheduler x", "x: no scheduler answers", "is it running?"),
    "no scheduler file": ("extract DATASET new --scheduler-file nowhere.json", "nowhere.json", "start one with dask"),
    "no cluster file": ("extract DATASET new --cluster nowhere.yaml", "nowhere.yaml", "expected a cluster spec"),
    "a bad cluster file": ("extract DATASET new --cluster bad.yaml", "bad.yaml", "expected a cluster spec"),
    "a cluster file of text": ("extract DATASET new --cluster file", "file", "expected a cluster spec"),
    "an unknown cluster class": ("extract DATASET new --cluster class.yaml", "class.yaml", "expected a cluster spec"),
    "no such clip": ("plan DATASET new --explain clip", "--explain clip", "neither dataset nor store"),
    "no store to look at": ("status empty", "empty", "create one with us8k extract"),
    "no store to verify": ("verify nowhere", "nowhere", "create one with us8k extract"),
    "no store to compact": ("compact nowhere new", "nowhere", "create one with us8k extract"),
    "a store to look at that is a file": ("status file", "file", "create one with us8k extract"),
    "a place that is taken": ("compact STORE empty/..", "", "choose an empty place"),
    "a store onto itself": ("compact STORE STORE", "store", "the new store must be another one"),
    "no dataset to check": ("check nowhere", "nowhere", "no such file or folder"),
    "no place for a dataset": ("synth .", "", "not empty, and not made by synth"),
    "a dataset below a file": ("synth file/new", "file/new", "expected a new or empty folder"),
    "no clips": ("synth new --clips 0", "--clips", "x>=1"),
    "no time": ("synth new --seconds 0", "seconds = 0", "expected 0.01 to 60"),
    "too few clips": ("demo new --clips 1", "--clips", "x>=20"),
    "an unknown command": ("extrakt", "extrakt", "No such command"),
    "an unknown option": ("extract DATASET new --fast", "--fast", "No such option"),
    "no store named": ("extract DATASET", "STORE", "Missing argument"),
}  # fmt: skip
"""A call, what its message names, and what it says to do."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_nothing_is_touched(
    dataset: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None, mistake: str
) -> None:
    """Exit 2, one message without a traceback on stderr, nothing on stdout; nothing of ours is left."""
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("file").write_text("text")
    Path("bad.csv").write_text("path,label\na.wav,dog\n")
    Path("bad.toml").write_text("n_mfcc = = 3")
    Path("bad.yaml").write_text("module: [")
    Path("class.yaml").write_text("module: distributed\nclass: NoSuchCluster\n")
    before = sorted(tmp_path.rglob("*"))
    call, named, remedy = MISTAKES[mistake]
    done = us8k(*call.replace("DATASET", str(dataset)).replace("STORE", "store").split())
    assert (done.status, done.out) == (2, "")
    assert named in done.err
    assert remedy in done.err
    assert "Traceback" not in done.err
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert [path for path in left if "lease" not in path.parts and path != tmp_path / "new"] == []


def test_a_mistake_with_json_is_an_object_too(tmp_path: Path) -> None:
    """A program that reads the last line of stdout learns why."""
    done = us8k("status", tmp_path, "--json")
    assert done.json == {"error": done.err.strip().removeprefix("us8k status: "), "exit_status": 2}


def test_parameters_come_from_a_file_and_the_command_line_wins(dataset: Path, tmp_path: Path, scheduler: str) -> None:
    """--config and --set make a store of their parameters; what is found is told by status; failures exit with 3."""
    (tmp_path / "features.toml").write_text('n_mfcc = 20\nhop_length = 256\nstatistics = ["mean"]\n')
    manifest = copied(dataset, tmp_path)
    (manifest.parent / "audio/clip003.mp3").write_bytes(b"")
    (manifest.parent / "audio/clip004.wav").unlink()
    options = ["--config", tmp_path / "features.toml", "--set", "n_mfcc=13", "--set", "fmax=null"]
    done = us8k("extract", manifest, tmp_path / "store", *options, "--clips-per-shard", "5", "--scheduler", scheduler)
    assert done.status == 3
    assert "why: us8k status" in done.out
    found = us8k("status", tmp_path / "store", "--json").json
    config = found["config"]
    assert (config["n_mfcc"], config["hop_length"], config["statistics"]) == (13, 256, ["mean"])
    assert (found["live"], found["clips_per_shard"]) == (10, 5)
    assert sum(found["failures"].values()) == 2
    again = us8k("extract", manifest, tmp_path / "store", "--json")
    assert (again.status, again.json["run_id"]) == (3, None)
    assert "(nothing to do)" in again.err
    text = us8k("status", tmp_path / "store").out
    assert "audio/clip003.mp3: " in text
    assert "audio/clip004.wav: read/missing" in text


def test_verify_exits_with_1_and_names_what_is_damaged(dataset: Path, store: Path) -> None:
    """A changed byte of a shard: exit 1, and the object by its name; check does so for a bad dataset."""
    shard = store / "mfcc.zarr/mfcc/c/0/0/0"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    done = us8k("verify", store, "--json")
    assert done.status == 1
    assert done.json["findings"]
    assert "mfcc.zarr/mfcc/c/0/0/0" in done.err


def test_check_exits_with_1_when_it_found_something(dataset: Path, tmp_path: Path) -> None:
    """A missing clip is a finding."""
    manifest = copied(dataset, tmp_path)
    (manifest.parent / "audio/clip004.wav").unlink()
    done = us8k("check", manifest)
    assert done.status == 1
    assert "audio/clip004.wav" in done.out


def test_verify_against_the_dataset_agrees_with_librosa(dataset: Path, store: Path) -> None:
    """--against computes a sample again with librosa itself."""
    done = us8k("verify", store, "--against", dataset, "--sample", "3", "--json")
    assert done.status == 0
    assert done.json["against"]["compared"] == 3
    assert done.json["against"]["largest_difference"] <= 2e-3


def test_a_hopeless_run_exits_with_1(dataset: Path, tmp_path: Path, scheduler: str) -> None:
    """--max-failures: the job failed, and says that what is committed stays."""
    manifest = copied(dataset, tmp_path)
    for path in (manifest.parent / "audio").iterdir():
        path.write_bytes(b"no sound")
    options = ["--max-failures", "3", "--set", "max_seconds=1", "--scheduler", scheduler]
    done = us8k("extract", manifest, tmp_path / "store", *options)
    assert done.status == 1
    assert "what is committed stays" in done.err


def test_the_script_is_the_same_job(dataset: Path, tmp_path: Path, scheduler: str, first_store: Done) -> None:
    """jobs/extract.py takes the same options, prints the same object, and makes the same bytes."""
    script = [sys.executable, ROOT / "jobs/extract.py"]
    done = shell(*script, dataset, tmp_path / "store", "--scheduler", scheduler, "--json", "-q")
    assert (done.status, done.err, done.json.keys()) == (0, "", EXTRACT)
    assert files(tmp_path / "store") == files(dataset.with_name("store"))
    text = shell(*script, "--help", env={**os.environ, "COLUMNS": "80"}).out
    ours = shell(*PROGRAM, "extract", "--help", env={**os.environ, "COLUMNS": "80"}).out
    assert text.partition("\n")[2] == ours.partition("\n")[2]


def test_the_command_has_three_names() -> None:
    """us8k, python -m us8k_batch and dask us8k list the same commands."""
    bin_folder = Path(sys.executable).parent
    texts = [
        shell(*command, "--help").out.split("Commands:")[1]
        for command in ([bin_folder / "us8k"], PROGRAM, [sys.executable, "-m", "dask", "us8k"])
    ]
    assert texts[0] == texts[1] == texts[2]


def test_a_bar_on_a_terminal_and_lines_elsewhere(
    dataset: Path, tmp_path: Path, scheduler: str, first_store: Done
) -> None:
    """A terminal gets a bar that ends at all clips; a file gets plain lines without escape codes."""
    status, seen = on_a_terminal(*PROGRAM, "extract", dataset, tmp_path / "store", "--scheduler", scheduler)
    assert status == 0
    assert "12/12" in seen
    assert "━" in seen
    assert "clips/s, 0 failed" in seen
    assert "\x1b" in seen
    assert "\x1b" not in first_store.err
    assert "━" not in first_store.err


def test_nothing_is_shown_on_a_terminal_with_q(dataset: Path, tmp_path: Path, scheduler: str) -> None:
    """-q: no bar, no line, nothing."""
    command = (*PROGRAM, "extract", dataset, tmp_path / "store", "--scheduler", scheduler, "-q")
    assert on_a_terminal(*command) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [["status", "STORE"], ["status", "STORE", "--json", "-q"], ["extract", "--help"], ["check", "DATASET"]],
)
def test_a_reader_that_went_away_is_no_error_to_tell(dataset: Path, store: Path, arguments: list[str]) -> None:
    """`us8k … | head -1`: nothing on stderr, when stdout is a pipe that nobody reads any more."""
    known = {"STORE": str(store), "DATASET": str(dataset)}
    ours, theirs = os.pipe()
    os.close(ours)
    command = [*PROGRAM, *(known.get(argument, argument) for argument in arguments)]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(theirs)
    assert (done.stderr, done.returncode) == ("", 1)


def read_until(stream: IO[str], text: str) -> None:
    """Read lines until one holds a text."""
    for line in stream:
        if text in line:
            return
    raise AssertionError(f"ended before it said {text!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_exits_with_130_and_the_same_command_goes_on(
    tmp_path: Path, scheduler: str, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM: the shards in hand are published, the rest is said to be left; then it is done."""
    dataset = make_urbansound8k(tmp_path / "dataset", clips=80, seconds=0.05)
    command = [*PROGRAM, "extract", dataset, tmp_path / "store", "--scheduler", scheduler, "--clips-per-shard", "1"]
    command = [*map(str, command), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        read_until(process.stderr, "extracting 80 clips")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping: finishing the shards in hand" in err
    assert "interrupted: run the same command again to go on" in err
    live = json.loads(out)["live"]
    assert live < 80
    found = us8k("status", tmp_path / "store", "--json").json
    assert (found["live"], found["complete"]) == (live, False)
    done = us8k("extract", dataset, tmp_path / "store", "--scheduler", scheduler, "--json")
    assert (done.status, done.json["live"], done.json["extracted"]) == (0, 80, 80 - live)


def test_the_demo_prints_commands_that_run(tmp_path: Path) -> None:
    """On a local cluster of its own; the commands that it prints, typed as they stand, work."""
    us8k_program = Path(sys.executable).with_name("us8k")
    done = shell(us8k_program, "demo", "a demo", "--clips", "20", "--workers", "1", cwd=tmp_path)
    assert done.status == 0
    assert "20 clips extracted into a demo/features" in done.out
    assert "dashboard http://" in done.err
    commands = dict(re.findall(r"^(look|prove|again|open): +(.*)$", done.out, re.MULTILINE))
    assert commands.keys() == {"look", "prove", "again", "open"}
    page = re.findall(r"^page: +(.*\.html) ", done.out, re.MULTILINE)
    assert page == ["a demo/report.html"]
    assert "<audio" in (tmp_path / page[0]).read_text(encoding="utf-8")
    more = re.findall(r"^ {9}(\S.*)$", done.out, re.MULTILINE)
    assert len(more) == 2
    for line in (commands["look"], commands["again"].partition("     (")[0], more[0]):
        ran = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)  # noqa: S602
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout


@pytest.mark.parametrize(("typed", "meant"), [("extrat", "extract"), ("verfy", "verify"), ("chek", "check")])
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(typed: str, meant: str) -> None:
    """Exit status 2, and a suggestion."""
    done = us8k(typed, "x")
    assert done.status == 2
    assert f"No such command '{typed}'. Did you mean {meant}?" in done.err


def test_what_an_interruption_leaves_is_true_of_each_command() -> None:
    """Only what goes on with the same command says so."""
    promised = {"extract", "demo", "fetch", "tune", "experiment"}
    for name in COMMANDS:
        told = help_of(name).interrupted  # type: ignore[attr-defined]
        assert ("the same command" in told) == (name in promised), name


def test_a_summary_counts_what_was_extracted_and_what_failed_apart(tmp_path: Path, scheduler: str) -> None:
    """Two clips of which none can be read: none is extracted."""
    dataset = make_manifest(tmp_path, clips=2, seconds=0.1)
    for clip in (tmp_path / "audio").iterdir():
        clip.write_bytes(b"RIFF")
    done = us8k("extract", dataset, tmp_path / "store", "--scheduler", scheduler, "--set", "max_seconds=1")
    assert done.status == 3, done.err
    assert "0 extracted, 2 failed," in done.out


def test_an_interrupted_report_ends_and_leaves_no_page(dataset: Path, store: Path, tmp_path: Path) -> None:
    """Ctrl-C while clips are decoded: exit status 130 at once, and what it says is true."""
    page = tmp_path / "page.html"
    command = [*PROGRAM, "report", str(store), "--dataset", str(dataset), "--out", str(page)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        read_until(process.stderr, "listening to")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, page.exists()) == (130, False), err
    assert "interrupted; nothing was written" in err
