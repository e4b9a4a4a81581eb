"""A store and its dataset are apart: neither lies in the other."""

from __future__ import annotations

import os
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import urlsplit

import pyarrow.compute as pc

from us8k_batch.catalog.dataset import Catalog
from us8k_batch.errors import RequestError
from us8k_batch.objects import is_bucket, local_path


def refuse_one_in_the_other(catalog: Catalog, store: str) -> None:
    """Refuse a store that is its dataset, lies in it, or has it inside; links are followed.

    Beside a manifest that was named itself a store may stand, but not in a folder of its clips.

    Raises
    ------
    RequestError
        Naming both.
    """
    if is_bucket(store) != is_bucket(catalog.root):
        return
    place, root, named = _place(store), _place(catalog.root), catalog.url != catalog.root
    if _is(place, root) or _is(place, _place(catalog.url)):
        raise RequestError(f"{store}: is the dataset itself; give a folder of its own to the store")
    if _holds(place, root):
        raise RequestError(
            f"{store}: the dataset {catalog.url} lies in this store; give the store a folder of its own"
        )
    if _holds(root, place) and (not named or _among_clips(catalog, root, place)):
        raise RequestError(f"{store}: lies in its dataset {catalog.url}; give the store a folder outside of it")


def _place(url: str) -> PurePath:
    """Return where something is; a bucket's keys as a path below it."""
    if is_bucket(url):
        parts = urlsplit(url)
        return PurePosixPath("/", parts.netloc.rpartition("@")[2], *filter(None, parts.path.split("/")))
    return Path(os.path.realpath(local_path(url)))


def _is(one: PurePath, other: PurePath) -> bool:
    if one == other:
        return True
    # Mounted twice, or on a disk that knows no capitals.
    return (
        isinstance(one, Path) and isinstance(other, Path) and one.exists() and other.exists() and one.samefile(other)
    )


def _holds(outer: PurePath, inner: PurePath) -> bool:
    return any(_is(outer, parent) for parent in inner.parents)


def _among_clips(catalog: Catalog, root: PurePath, place: PurePath) -> bool:
    below = place.relative_to(root).parts if place.is_relative_to(root) else ()
    return bool(below) and bool(pc.any(pc.starts_with(catalog.clips["path"], f"{below[0]}/")).as_py())
