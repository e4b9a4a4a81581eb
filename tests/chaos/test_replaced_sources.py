"""Sources that are replaced while a run reads them: every row is what was decoded, whatever that was."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
from datasets import read_rows
from disturbed import RATE, Site, ended, make_sounds

from us8k_batch.store.verify import verify

REPLACEMENTS = 1000


class Vandal(threading.Thread):
    """Replaces clips, by renaming and in place, until it is told to stop or has done it often enough."""

    def __init__(self, clips: list[Path]) -> None:
        super().__init__(name="vandal")
        self.clips = clips
        self.done = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Replace."""
        dice, rng = random.Random(3), np.random.default_rng(3)
        while self.done < REPLACEMENTS and not self.over.is_set():
            clip = dice.choice(self.clips)
            aside = clip.with_suffix(".new")
            soundfile.write(aside, rng.normal(scale=0.1, size=RATE // 10), RATE, format="WAV")
            if dice.random() < 0.5:
                aside.replace(clip)
            else:  # half of it first, so that readers may see both
                data = aside.read_bytes()
                with clip.open("r+b", buffering=0) as file:
                    file.write(data[: len(data) // 2])
                    os.fsync(file.fileno())
                    file.write(data[len(data) // 2 :])
                aside.unlink()
            self.done += 1


def test_a_row_is_what_was_decoded(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Each row's source_sha256 and digest are of one decode; when all is quiet again, the next run mends the rest."""
    dataset = make_sounds(tmp_path / "data", clips=400)
    site = Site(tmp_path / "site", dataset)
    vandal = Vandal([dataset.parent / row["path"] for row in read_rows(dataset)])
    with site.hand() as hand:
        hand.start_scheduler().start_workers(2).wait_for_workers(2)
        where = ("--scheduler", hand.address, "--allow-removal")
        vandal.start()
        runs = 0
        while vandal.is_alive():
            client = site.client(*where)
            assert client.wait(300) in (0, 1, 3), site.said()[-3000:]
            runs += 1
        vandal.join()
        ended(site.client(*where), site, 0)
        decoded = {(attempt.sha256, attempt.digest) for attempt in site.attempts()}
        rows = []
        for path in (site.store / "commits").glob("*.parquet"):
            table = pq.read_table(path, columns=["source_sha256", "digest"]).to_pylist()
            rows.extend((row["source_sha256"], row["digest"]) for row in table if row["digest"])
        assert set(rows) <= decoded, "a row has the digest of other bytes than it names"
        assert verify(str(site.store)).findings == []
        fresh = Site(tmp_path / "fresh", dataset)
        ended(fresh.client(*where), fresh, 0)
    ours, theirs = published(site), published(fresh)
    assert ours == theirs
    assert vandal.done == REPLACEMENTS
    told = f"{vandal.done} replacements during {runs} runs; {len(rows)} of {len(rows)} rows are one decode"
    record_property("figure", told)


def published(site: Site) -> list[tuple[str, str]]:
    """Return each live clip's digest."""
    table = pq.read_table(site.store / "pooled.parquet", columns=["clip_id", "digest"]).to_pylist()
    return sorted((row["clip_id"], row["digest"]) for row in table)
