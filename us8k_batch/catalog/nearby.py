"""What a missing clip may be meant to be: a file whose name or folder is nearly the one that was looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from us8k_batch.catalog.listing import by_folder, split_paths
from us8k_batch.catalog.source import Source
from us8k_batch.errors import ClipError, StorageError
from us8k_batch.likeness import likeness

FOLDERS = 100
"""Most folders that are listed once more."""
CLIPS = 100_000
"""Most missing clips that something is looked for."""


def nearby(source: Source, missing: Any, paths: Any) -> list[str | None]:
    """Find a file for each missing clip that it may be meant to be.

    A file in the same folder whose name differs in case, Unicode form, space or extension only; in a folder whose
    own name differs so; or a file of that name in another folder of the dataset. Folders are listed, at most
    `FOLDERS` of them, and no clip costs a call of its own.

    Parameters
    ----------
    source : Source
        Where the clips are.
    missing, paths : string Array or ChunkedArray
        Paths of the missing clips, and of all clips.

    Returns
    -------
    list of str or None
        The path of what is there, for each missing clip.
    """
    folders, names = split_paths(missing.slice(0, CLIPS))
    found: list[str | None] = [None] * len(missing)
    listed = _Folders(source)
    left: dict[str, list[int]] = {}
    for folder, places in by_folder(folders):
        at = listed.resolve(folder)
        files = [] if at is None else listed.files(at)
        wanted = names.take(pa.array(places)).to_pylist()
        for place, name, hit in zip(places.tolist(), wanted, _alike(wanted, files), strict=True):
            if hit is None:
                left.setdefault(name, []).append(place)
            else:
                found[place] = _join(at or "", hit)
    if left:
        others = sorted(set(split_paths(paths)[0].unique().to_pylist()))
        for folder in others[:FOLDERS]:
            wanted = list(left)
            for name, hit in zip(wanted, _alike(wanted, listed.files(folder)), strict=True):
                if hit is not None:
                    for place in left.pop(name):
                        found[place] = _join(folder, hit)
    return found


class _Folders:
    """Folders that were listed, each once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._listed: dict[str, tuple[list[str], list[str]]] = {}

    def files(self, folder: str) -> list[str]:
        return self._names(folder)[1]

    def resolve(self, folder: str) -> str | None:
        """Return a folder that is there, whose name is this one or looks like it."""
        at = ""
        for part in folder.split("/") if folder else ():
            folders = self._names(at)[0]
            name = part if part in folders else _alike([part], folders)[0]
            if name is None:
                return None
            at = _join(at, name)
        return at

    def _names(self, folder: str) -> tuple[list[str], list[str]]:
        if folder not in self._listed:
            nothing: tuple[list[str], list[str]] = ([], [])
            try:
                self._listed[folder] = self._source.names(folder) if len(self._listed) < 2 * FOLDERS else nothing
            except (ClipError, StorageError):
                self._listed[folder] = nothing
        return self._listed[folder]


def _alike(wanted: list[str], names: list[str]) -> list[str | None]:
    """Return for each name the one that looks like it, or does but for the extension."""
    hits: list[str | None] = [None] * len(wanted)
    for key in (_whole, _stem):
        if names and None in hits:
            known = dict(zip(_keys(key, reversed(names)), reversed(names), strict=True))
            hits = [hit or known.get(one) for hit, one in zip(hits, _keys(key, wanted), strict=True)]
    return hits


def _keys(key: Callable[[str], str], names: Iterable[str]) -> list[str]:
    looks: list[str] = likeness(pa.array([key(name) for name in names], pa.string())).to_pylist()
    return looks


def _whole(name: str) -> str:
    return name


def _stem(name: str) -> str:
    return PurePosixPath(name.strip()).stem


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
