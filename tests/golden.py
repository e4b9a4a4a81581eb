"""The golden stores: what was written once, kept as it was, with the dataset that they were made of.

    python tests/golden.py tests/golden     # makes it anew: only when a store's format changes

Their files are compared by bytes, so the newest is made anew for no other reason, and the others never.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from datasets import change_rows, make_manifest, write_tone
from mending import extract_alone
from stores import files

FOLDER = Path(__file__).parent / "golden"
STORES = ("store", "first")
"""The newest, and those that were written in other manners; see ``store.parquet.MANNERS``."""
EXPECTED = "expected.json"
WRITTEN_AT = 1_700_000_000
"""When the clips were last changed, in seconds since 1970: git keeps no times."""
LATER = "audio/later.wav"
"""A clip that is there from the beginning, and that the manifest names only for the second run."""


def copy_golden(source: Path, target: Path, store: str = STORES[0]) -> tuple[Path, Path]:
    """Copy dataset and store, with the times that the clips had; return the manifest and the store."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    set_times(target / "dataset")
    return target / "dataset" / "manifest.csv", target / store


def set_times(folder: Path) -> None:
    """Give all clips the time that the store knows."""
    for path in folder.rglob("*"):
        os.utime(path, (WRITTEN_AT, WRITTEN_AT))


def name_later_clip(manifest: Path) -> None:
    """Name the clip of the second run."""
    row = {"path": LATER, "label": "rain", "fold": "1", "group": "later"}
    change_rows(manifest, lambda rows: [*rows, row])


def digests(store: Path) -> dict[str, str]:
    """Return the hex sha256 of every file that is the same in equal stores."""
    return {key: hashlib.sha256(data).hexdigest() for key, data in files(store).items()}


def main(target: Path) -> None:
    """Extract a small dataset, then once more with one clip more; keep the first store, and digests of the second."""
    manifest = make_manifest(target / "dataset", clips=6, formats=("WAV", "FLAC"), seconds=0.1)
    (manifest.parent / "audio/clip005.flac").write_bytes(b"no sound at all")
    write_tone(manifest.parent / LATER, frequency=700.0, seconds=0.1)
    set_times(manifest.parent)
    extract_alone(manifest, target / "store")
    for folder in ("lease", "runs"):
        shutil.rmtree(target / "store" / folder)
    with tempfile.TemporaryDirectory() as folder:
        again, store = copy_golden(target, Path(folder))
        name_later_clip(again)
        extract_alone(again, store)
        expected = json.dumps({"first": digests(target / "store"), "second": digests(store)}, indent=1)
    (target / EXPECTED).write_text(expected + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
