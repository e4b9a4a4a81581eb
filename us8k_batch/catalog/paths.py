"""Clip paths: made comparable, and refused where they could leave the dataset."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from us8k_batch.catalog.columns import filled_text
from us8k_batch.catalog.metadata import Metadata

LEAVES = r"(^|/)\.\.(/|$)"
ABSOLUTE = r"^/|^[A-Za-z]:/|^[A-Za-z][A-Za-z0-9+.-]*://"
UNTIDY = r"//|(^|/)\.(/|$)|/$"


def relative_paths(metadata: Metadata, column: str) -> Any:
    """Return a column of paths in one spelling: forward slashes, no ``.``, no doubled or final slash.

    Raises
    ------
    DatasetError
        If a path is empty, absolute, a URL, or holds ``..``; it names the row.
    """
    values = filled_text(metadata, column)
    values = pc.replace_substring(values, "\\", "/")
    metadata.require(
        pc.invert(pc.match_substring_regex(values, ABSOLUTE)), column, "a path relative to the dataset's folder"
    )
    metadata.require(
        pc.invert(pc.match_substring_regex(values, LEAVES)), column, "a path without '..', below the dataset's folder"
    )
    if pc.any(pc.match_substring_regex(values, UNTIDY)).as_py():
        values = pc.replace_substring_regex(values, r"(/\.?)+/", "/")
        values = pc.replace_substring_regex(values, r"^(\./)+", "")
        values = pc.replace_substring_regex(values, r"(/\.?)+$", "")
        metadata.require(pc.invert(pc.match_substring_regex(values, r"^\.?$")), column, "the path of a file")
    return values
