"""Durable before visible: the order of system calls of a real run, as the kernel saw them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from datasets import change_rows, make_manifest, write_tone
from disturbed import SMALL

CALLS = "openat,write,fsync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+= (-?\d+)")
PATH = re.compile(r'"([^"]*)"')
FILE = re.compile(r"^\d+<([^>]*)>")


@dataclass(frozen=True)
class Call:
    """One system call that succeeded."""

    pid: str
    name: str
    paths: tuple[str, ...]


def read_calls(trace: Path) -> list[Call]:
    """Read what strace wrote for one process or thread; a call that was cut in two lines is one."""
    begun: dict[str, str] = {}
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        text = line
        pid = text.split(maxsplit=1)[0]
        if text.endswith("<unfinished ...>"):
            begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := re.match(r"^\d+\s+<\.\.\. \w+ resumed>(.*)", text):
            text = begun.pop(pid) + resumed[1]
        if found := LINE.match(text):
            arguments = found[3]
            opened = FILE.match(arguments)
            paths = (opened[1],) if opened else tuple(PATH.findall(arguments))
            if int(found[4]) >= 0 and paths:
                calls.append(Call(pid, re.sub("at2?$", "", found[2]) if found[2] != "openat" else "open", paths))
    return calls


def concerns(call: Call, store: Path) -> bool:
    """Tell whether a call is about something in a store, or the folder that it is in."""
    path = Path(call.paths[-1])
    return path == store.parent or path.is_relative_to(store)


def check_order(calls: list[Call], store: Path) -> Counter[str]:
    """See that each object was durable before its name, and its name before the next object; count objects."""
    counts: Counter[str] = Counter()
    for pid in {call.pid for call in calls}:
        mine = [call for call in calls if call.pid == pid and concerns(call, store)]
        for i, call in enumerate(mine):
            if call.name == "mkdir":
                # New folders are made durable together, before anything has a name in them.
                ends = (j for j in range(i, len(mine)) if mine[j].name in ("link", "rename"))
                after = [(one.name, one.paths[-1]) for one in mine[i : next(ends, None)]]
                assert ("fsync", str(Path(call.paths[0]).parent)) in after
            if call.name not in ("link", "rename"):
                continue
            temporary, target = call.paths
            before = [one.name for one in mine[:i] if one.paths[-1] == temporary]
            assert before[0] == "open"
            assert before[-1] == "fsync", "the name was there before the bytes were durable"
            assert set(before[1:-1]) == {"write"} or "/lease/probe" in target  # which is empty
            folder = str(Path(target).parent)
            rest = [(one.name, one.paths[-1]) for one in mine[i + 1 : i + 4]]
            forgotten = [("unlink", temporary)] if call.name == "link" else []
            assert rest[: 2 + len(forgotten)] == [*forgotten, ("open", folder), ("fsync", folder)]
            counts[Path(target).relative_to(store).parts[0]] += 1
    return counts


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_every_object_is_durable_before_it_is_visible(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """File, fsync, link, fsync of the folder: for every commit and shard; with rename for the published tables."""
    manifest = make_manifest(tmp_path / "data", clips=16, seconds=0.1, formats=("WAV",))
    store = tmp_path / "store"
    counts: Counter[str] = Counter()
    for turn in range(2):
        given = [argument for assignment in SMALL for argument in ("--set", assignment)]
        command = [sys.executable, "-m", "us8k_batch", "extract", str(manifest), str(store), *given]
        trace = tmp_path / f"trace-{turn}"
        done = subprocess.run(
            ["strace", "-f", "-y", "-s", "4096", "-e", "signal=none", "-e", f"trace={CALLS}", "-o", str(trace),
             *command, "--clips-per-shard", "4", "--workers", "2", "--allow-removal"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        counts += check_order(read_calls(trace), store)
        write_tone(tmp_path / "data/audio/clip001.wav", frequency=3000, seconds=0.1)
        change_rows(manifest, lambda rows: rows[1:])
    commits = len(list((store / "commits").glob("*.parquet")))
    assert counts["commits"] == commits == 5
    assert counts["mfcc.zarr"] >= commits
    assert counts["plans"] == counts["snapshots"] == 2
    assert counts["pooled.parquet"] == 2
    assert counts["failures.parquet"] >= 1
    told = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    record_property("figure", f"in order: {told}")
