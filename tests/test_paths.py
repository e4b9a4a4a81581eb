"""Clip paths: one spelling for one file, and no way out of the dataset."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog.metadata import Metadata
from us8k_batch.catalog.paths import relative_paths
from us8k_batch.errors import DatasetError

NAMES = st.text(st.sampled_from("ab .-_ü%#"), min_size=1, max_size=5).filter(
    lambda name: name.strip() and name not in (".", "..")
)
CLEAN = st.lists(NAMES, min_size=1, max_size=4).filter(lambda parts: any(part.strip() for part in parts))
JOINTS = st.sampled_from(["/", "//", "/./", "\\", "/.//", "\\.\\"])


def tidy(*values: str | None) -> list[str]:
    """Bring some paths into one spelling."""
    metadata = Metadata("m.parquet", pa.table({"path": pa.chunked_array([pa.array(values, pa.string())])}), None)
    return relative_paths(metadata, "path").to_pylist()


@given(CLEAN, st.data())
def test_every_spelling_of_a_path_is_the_same_clip(parts, data):
    """Doubled slashes, single dots and backslashes make no other clip."""
    spelled = data.draw(st.sampled_from(["", "./", "././", ".//"]))
    for part in parts[:-1]:
        spelled += part + data.draw(JOINTS)
    spelled += parts[-1] + data.draw(st.sampled_from(["", "/", "/."]))
    assert tidy(spelled) == ["/".join(parts)]


@given(CLEAN)
def test_a_tidy_path_stays_as_it_is(parts):
    """Tidying twice is tidying once."""
    assert tidy("/".join(parts)) == ["/".join(parts)]


@given(st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3), st.sampled_from("/\\"))
def test_a_path_with_two_dots_is_refused_wherever_they_stand(before, after, slash):
    """Even where it would come back: a folder on the way may be a link."""
    with pytest.raises(DatasetError, match=r"row 2 .*without '..'"):
        tidy("good.wav", slash.join([*before, "..", *after]))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "\\\\server\\share", "C:\\audio\\a.wav", "c:/a.wav", "s3://bucket/a.wav", "file:///a.wav"]
)
def test_an_absolute_path_or_url_is_refused(path):
    """Paths are relative to the dataset, so that it can be moved."""
    with pytest.raises(DatasetError, match=r"row 2 .*relative"):
        tidy("good.wav", path)


@pytest.mark.parametrize("path", ["", "   ", None, ".", "./", "a\nb.wav"])
def test_a_path_that_names_no_file_is_refused(path):
    """Nothing, blanks, the folder itself, or a line break in it."""
    with pytest.raises(DatasetError, match="row 2"):
        tidy("good.wav", path)


def test_dots_in_names_are_no_way_out():
    """Only a whole part that is two dots leads upwards."""
    assert tidy("..a/b..c/...wav") == ["..a/b..c/...wav"]
