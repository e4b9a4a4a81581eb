"""Download the real UrbanSound8K, prove it, and unpack it; or a taste of it."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.catalog import download
from us8k_batch.catalog.genuine import load_genuine
from us8k_batch.catalog.synth import CLASSES
from us8k_batch.catalog.unpack import Unpacked, unpack
from us8k_batch.errors import JobError, RequestError
from us8k_batch.folders import made

URL = "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz"
MD5 = "9aa69802bbf37fb986f71ec1483a196e"
TOP = "UrbanSound8K"
"""The folder that the archive consists of."""
TASTE = "UrbanSound8K-subset"
METADATA = "metadata/UrbanSound8K.csv"
LICENCE = """\
UrbanSound8K, by Justin Salamon, Christopher Jacoby and Juan Pablo Bello (2014), is offered free of charge for
non-commercial use only, under the Creative Commons Attribution-NonCommercial licence (CC BY-NC):
https://creativecommons.org/licenses/by-nc/3.0/. It holds excerpts of recordings from Freesound, whose authors are
named in FREESOUNDCREDITS.txt. Whoever publishes work that uses it is asked to cite: J. Salamon, C. Jacoby and
J. P. Bello, "A Dataset and Taxonomy for Urban Sound Research", 22nd ACM International Conference on Multimedia,
Orlando, 2014. https://zenodo.org/records/1203745"""
_SPARE = 1 << 30
"""Bytes that metadata may take beside the clips, and that the disk should have left."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is on disk now."""

    dataset: str
    """What to give to ``us8k extract``."""
    clips: int
    """Audio files."""
    genuine: int
    """Those of them that have the content of the genuine ones."""
    size: int
    """Bytes of audio."""
    was_there: bool
    """Whether there was nothing to do."""

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return asdict(self)


class Telling(Protocol):
    """Where a download tells how it gets on."""

    def start(self, what: str, total: int) -> None:
        """Begin to count bytes or files."""

    def count(self, done: int) -> None:
        """Say how many there are."""

    def finish(self) -> None:
        """Stop counting."""


def fetch(folder: str, telling: Telling, *, url: str = URL, md5: str = MD5, keep_archive: bool = False) -> Fetched:
    """Download the archive, resuming an earlier try, prove its checksum and unpack it.

    Parameters
    ----------
    folder : str
        Where ``UrbanSound8K/`` will be.
    telling : Telling
        Where to tell how it gets on.
    url, md5 : str
        Another copy of the archive, and its checksum.
    keep_archive : bool
        Keep the archive once it is unpacked.

    Raises
    ------
    RequestError
        If the disk is too small, or something else is in the place; nothing was downloaded then.
    JobError
        If the server, the archive or the disk fails; the same command goes on.
    """
    root = Path(folder).absolute()
    dataset = root / TOP
    genuine = load_genuine()
    if dataset.exists():
        return _present(dataset, genuine)
    with made(root, "choose another folder"):
        return _fetch(root, genuine, telling, url, md5, keep_archive=keep_archive)


def _fetch(root: Path, genuine: pa.Table, telling: Telling, url: str, md5: str, *, keep_archive: bool) -> Fetched:
    dataset = root / TOP
    archive = root / f"{TOP}.tar.gz"
    room = _bytes_of(genuine) + _SPARE
    if not archive.exists():
        remote = download.look(url)
        _refuse_small_disk(root, remote.size - download.bytes_there(remote, archive), room)
        telling.start("downloading", remote.size)
        try:
            download.download(remote, archive, md5, telling.count)
        finally:
            telling.finish()
    partial = root / f"{TOP}.unpacking"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    telling.start("unpacking", len(genuine))
    try:
        with archive.open("rb") as file:
            unpacked = list(_counted(unpack(file, TOP, partial, room), telling))
    except JobError as error:
        shutil.rmtree(partial)
        raise JobError(f"{error}; remove it and run the same command again") from error
    finally:
        telling.finish()
    clips = [one for one in unpacked if one.path.startswith("audio/")]
    if not clips or not (partial / METADATA).is_file():
        shutil.rmtree(partial)
        raise JobError(f"{archive}: holds no {TOP}/{METADATA} or no clip; expected {URL}")
    os.sync()
    partial.rename(dataset)
    if not keep_archive:
        archive.unlink()
    return Fetched(
        str(dataset), len(clips), _n_genuine(clips, genuine), sum(clip.size for clip in clips), was_there=False
    )


def fetch_taste(folder: str, telling: Telling, clips: int, *, url: str = URL) -> Fetched:
    """Read no more than the archive's beginning, and unpack its first clips, each proved by its sha256.

    The archive is compressed as a whole, so that nothing but its beginning can be had without the rest, also from a
    server that answers for ranges. The clips come with a manifest: their labels, folds and recordings are in their
    names, the metadata is not in the beginning.

    Raises
    ------
    RequestError
        If something is in the place.
    JobError
        If the server fails, or a clip is not the genuine one.
    """
    root = Path(folder).absolute() / TASTE
    if root.exists():
        raise RequestError(f"{root}: is there already; use it, or remove it first")
    with made(root.parent, "choose another folder"):
        return _fetch_taste(root, telling, clips, url)


def _fetch_taste(root: Path, telling: Telling, clips: int, url: str) -> Fetched:
    partial = root.with_name(f"{TASTE}.unpacking")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    genuine = load_genuine()
    telling.start("unpacking", clips)
    try:
        with contextlib.closing(download.stream(url)) as pieces:
            archive = cast(IO[bytes], io.BufferedReader(_Pieces(pieces)))
            unpacked = unpack(archive, TOP, partial, _bytes_of(genuine) + _SPARE, only="audio/")
            found = list(islice(_counted(unpacked, telling), clips))
        if _n_genuine(found, genuine) < len(found) or not found:
            raise JobError(f"{url}: its clips are not those of {TOP}; expected {URL}")
        _write_manifest(partial / "manifest.csv", found)
    except BaseException:
        shutil.rmtree(partial)
        raise
    finally:
        telling.finish()
    partial.rename(root)
    size = sum(clip.size for clip in found)
    return Fetched(str(root / "manifest.csv"), len(found), len(found), size, was_there=False)


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


def _present(dataset: Path, genuine: pa.Table) -> Fetched:
    """Look whether all clips are there, by their sizes."""
    missing, size = 0, 0
    for path, expected in zip(genuine["path"].to_pylist(), genuine["size"].to_pylist(), strict=True):
        try:
            missing += (dataset / path).stat().st_size != expected
            size += expected
        except OSError:
            missing += 1
    if missing or not (dataset / METADATA).is_file():
        raise RequestError(
            f"{dataset}: is there, but {missing} of {len(genuine)} genuine clips are missing or of another size; "
            "look with us8k check, or move it away and run the same command again"
        )
    return Fetched(str(dataset), len(genuine), len(genuine), size, was_there=True)


def _refuse_small_disk(root: Path, to_download: int, to_unpack: int) -> None:
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < to_download + to_unpack:
        raise RequestError(
            f"{root}: {free / 1e9:.1f} GB are free, expected {(to_download + to_unpack) / 1e9:.1f} GB "
            f"({to_download / 1e9:.1f} to download, {to_unpack / 1e9:.1f} unpacked); use a larger disk"
        )


def _bytes_of(genuine: pa.Table) -> int:
    return int(pc.sum(genuine["size"]).as_py())


def _counted(unpacked: Iterator[Unpacked], telling: Telling) -> Iterator[Unpacked]:
    for number, one in enumerate(unpacked, 1):
        telling.count(number)
        yield one


def _n_genuine(clips: list[Unpacked], genuine: pa.Table) -> int:
    digests = dict(zip(genuine["path"].to_pylist(), genuine["sha256"].to_pylist(), strict=True))
    return sum(digests.get(clip.path) == clip.sha256 for clip in clips)


def _write_manifest(file: Path, clips: list[Unpacked]) -> None:
    """Write what the clips' names tell: ``audio/foldF/RECORDING-CLASS-OCCURRENCE-SLICE.wav``."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "label", "fold", "group", "clip_id"])
        for clip in sorted(clips, key=lambda clip: clip.path):
            _, fold, name = clip.path.split("/")
            recording, class_id = name.split("-")[:2]
            writer.writerow([clip.path, CLASSES[int(class_id)], fold.removeprefix("fold"), recording, name])
