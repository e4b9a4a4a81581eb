"""Make small datasets, and change them as a data owner would."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from us8k_batch.catalog.synth import synthesise
from us8k_batch.objects import open_bucket

Row = dict[str, str]
SUBTYPES = {"OGG": "VORBIS"}


def make_urbansound8k(folder: Path, *, clips: int = 20, seconds: float = 0.25, seed: int = 0) -> Path:
    """Make a synthetic dataset in UrbanSound8K's layout; return its folder."""
    synthesise(str(folder), clips=clips, seconds=seconds, seed=seed)
    return folder


def make_manifest(
    folder: Path,
    *,
    name: str = "manifest.csv",
    clips: int = 12,
    folds: int = 3,
    labels: Sequence[str] = ("dog", "rain"),
    formats: Sequence[str] = ("WAV", "FLAC", "OGG", "MP3"),
    seconds: float = 0.25,
    columns: Mapping[str, Callable[[int], str]] | None = None,
) -> Path:
    """Make a folder of tones and its manifest with path, label, fold and group; return the manifest's path.

    Clip ``i`` is of recording ``i // 2``, and lies in fold ``1 + i // 2 % folds``; `columns` adds others, by the
    clip's number.
    """
    rows = []
    for i in range(clips):
        format_ = formats[i % len(formats)]
        path = f"audio/clip{i:03d}.{format_.lower()}"
        write_tone(folder / path, frequency=200.0 + 25 * i, seconds=seconds, format=format_)
        row = {
            "path": path,
            "label": labels[i % len(labels)],
            "fold": str(1 + i // 2 % folds),
            "group": f"r{i // 2}",
        }
        rows.append(row | {key: make(i) for key, make in (columns or {}).items()})
    write_rows(folder / name, rows)
    return folder / name


def write_tone(
    path: Path,
    *,
    frequency: float = 440.0,
    seconds: float = 0.25,
    rate: int = 22050,
    channels: int = 1,
    format: str = "WAV",
    subtype: str | None = None,
) -> Path:
    """Write one clip: a sine, half as loud as can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * rate)) / rate
    wave = np.tile(0.5 * np.sin(2 * np.pi * frequency * times)[:, None], (1, channels))
    soundfile.write(path, wave, rate, format=format, subtype=subtype or SUBTYPES.get(format))
    return path


def metadata_of(dataset: Path) -> Path:
    """Return the metadata file of a dataset: of a folder in UrbanSound8K's layout, or the manifest itself."""
    return dataset / "metadata/UrbanSound8K.csv" if dataset.is_dir() else dataset


def read_rows(dataset: Path) -> list[Row]:
    """Read the metadata of a dataset."""
    with metadata_of(dataset).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a metadata file, as CSV or (by its suffix) as Parquet with folds as whole numbers."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([row | {"fold": int(row["fold"])} for row in rows]), path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def change_rows(dataset: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    """Replace the rows of a dataset's metadata by what `change` makes of them."""
    write_rows(metadata_of(dataset), change(read_rows(dataset)))


def upload(folder: Path, url: str) -> str:
    """Copy a folder below a bucket's URL; return the URL."""
    bucket = open_bucket(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            obstore.put(bucket, path.relative_to(folder).as_posix(), path.read_bytes())
    return url
