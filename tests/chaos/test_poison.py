"""Poison among two thousand clips: it costs itself, and no worker dies of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from audio_files import flac_promising, make_audio
from datasets import read_rows
from disturbed import CLIPS, Site, ended, worker_pids

import us8k_batch

AGAIN = ", and in a fresh process too"
MEMORY = 400
ORDERS = {
    "segfault:{}": ("crashed", "the decoder child was ended by SIGSEGV" + AGAIN),
    "exit:{}": ("crashed", "the decoder child exited with status {}" + AGAIN),
    "abort:{}": ("crashed", "the decoder child was ended by SIGABRT" + AGAIN),
    "eat:{}": ("out_of_memory", f"the decoder child needed more than {MEMORY} MiB" + AGAIN),
    "hang:{}": ("timeout", "no result within 3 s" + AGAIN),
    "recurse:{}": ("crashed", "the engine raised RecursionError: maximum recursion depth exceeded"),
}
"""What poisonous clips do to the child, and the error and detail that they get; each is in three clips."""
PROMISES = 2**36 - 1
"""Samples that two headers promise, of clips of some kilobytes."""


def poison(folder: Path) -> dict[str, tuple[str, str]]:
    """Put twenty poisonous clips, and three that print noise, in place of good ones; return what is expected."""
    paths = [row["path"] for row in read_rows(folder / "manifest.csv")]
    places = iter(paths[40 :: (CLIPS - 40) // 23])
    expected = {}
    for order, (error, detail) in ORDERS.items():
        for turn in range(3):
            path = next(places)
            (folder / path).write_bytes(order.format(100 + turn).encode())
            expected[path] = error, detail.format(100 + turn)
    for seed in range(2):
        path = next(places)
        (folder / path).write_bytes(flac_promising(make_audio(format="FLAC", seconds=0.1, seed=seed), PROMISES))
        expected[path] = "", ""
    for turn in range(3):
        (folder / next(places)).write_bytes(f"print:{turn}".encode())
    return expected


def test_poison_costs_itself(sounds: Path, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """2,000 clips, 20 of them poison: 1,980 results, each failure with its reason, and the workers are the same.

    Noise on standard output harms nothing: those clips have results.
    """
    folder = tmp_path / "data"
    shutil.copytree(sounds.parent, folder)
    own = shutil.copy(folder / read_rows(folder / "manifest.csv")[0]["path"], tmp_path / "own.wav")
    expected = poison(folder)
    assert len(expected) == 20
    site = Site(
        tmp_path / "site",
        folder / "manifest.csv",
        child=("noting_child.py", "poisonous"),
        environment={
            "US8K_TEST_OWN_CLIP": str(own),
            "DASK_US8K__CLIP_SECONDS": "3",
            "DASK_US8K__CLIP_MEMORY": str(MEMORY << 20),
        },
    )
    with site.hand() as hand:
        hand.start_scheduler().start_workers(2).wait_for_workers(2)
        before = worker_pids(hand)
        ended(site.client("--scheduler", hand.address, "--json"), site, 3)
        assert worker_pids(hand) == before, "a worker was restarted"
    store = us8k_batch.open_store(str(site.store))
    assert (len(store), len(store.failures)) == (CLIPS - 20, 20)
    found = {row.clip_id: (row.error, row.detail) for row in store.failures.itertuples()}
    assert found.keys() == expected.keys()
    headers = {clip: found.pop(clip) for clip, (error, _) in expected.items() if not error}
    assert found == {clip: told for clip, told in expected.items() if told[0]}
    assert {error for error, _ in headers.values()} <= {"too_long", "not_decodable", "truncated"}, headers
    kinds = Counter(error for error, _ in [*found.values(), *headers.values()])
    (summary,) = [json.loads(line) for line in site.said().splitlines() if line.startswith("{")]
    assert (summary["extracted"], summary["failed"]) == (CLIPS - 20, 20)
    told = ", ".join(f"{number} {error}" for error, number in sorted(kinds.items()))
    record_property("figure", f"{CLIPS - 20:,} results, 20 failures ({told}); workers restarted: 0")
