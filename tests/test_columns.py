"""Columns: their types follow from all their values, and a value that cannot be right names its row."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.catalog.columns import (
    decimals,
    filled_text,
    is_published,
    names_of_recordings,
    read_columns,
    settled,
    text,
    whole_numbers,
    with_columns,
)
from us8k_batch.catalog.metadata import Metadata
from us8k_batch.errors import DatasetError

NUMBERS = st.one_of(st.integers(-(10**17), 10**17).map(str), st.floats(-1e9, 1e9).map(repr))
VALUES = st.lists(st.one_of(NUMBERS, st.text(max_size=4), st.none()), min_size=1, max_size=10)


def column(values, kind: pa.DataType | None = None) -> Metadata:
    """Make metadata of one column, x."""
    return Metadata("m.parquet", pa.table({"x": pa.chunked_array([pa.array(values, kind)])}), None)


def type_of(values) -> pa.DataType:
    """Tell which type cells of a CSV get."""
    return settled(column(values, pa.string()).table["x"]).type


@given(VALUES, st.randoms(use_true_random=False))
def test_a_type_does_not_depend_on_the_order_of_rows(values, random):
    """Any order of the same values gives the same type."""
    shuffled = random.sample(values, len(values))
    assert type_of(values) == type_of(shuffled)


@given(VALUES)
def test_settling_changes_no_value(values):
    """Whole numbers come back digit by digit, numbers as equal numbers, text as it was, null as null."""
    typed = settled(column(values, pa.string()).table["x"])
    for before, after in zip(values, typed.to_pylist(), strict=True):
        assert (before is None) == (after is None)
        if before is not None:
            assert after == (float(before) if typed.type == pa.float64() else type(after)(before))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", None], pa.int64()),
        (["1", "2.5"], pa.float64()),
        ([".5", "1e-3", "2."], pa.float64()),
        (["007", "008"], pa.string()),
        (["007", "0.5"], pa.string()),
        (["1234567890123456", "0.5"], pa.string()),
        (["1", "x"], pa.string()),
        (["true", "false"], pa.string()),
        (["nan"], pa.string()),
        (["2026-01-01"], pa.string()),
        (["1,5"], pa.string()),
        ([" 1"], pa.string()),
        (["123456789012345678901"], pa.string()),
        ([None, None], pa.string()),
    ],
)
def test_what_counts_as_a_number(values, kind):
    """Only what cannot be read in another way is a number; an empty column is text."""
    assert type_of(values) == kind


def test_one_word_among_many_numbers_makes_a_column_text():
    """The whole column decides, not its beginning."""
    assert type_of(["1"] * 100_000 + ["x"]) == pa.string()


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        (["1", "x"], pa.string(), "row 2 .counted from 1.: x = 'x'"),
        (["1", "1.5"], pa.string(), "row 2 .counted from 1.: x = '1.5'"),
        (["1.0e0"], pa.string(), "row 1 .counted from 1.: x = '1.0e0'"),
        (["1", " 2"], pa.string(), "row 2 .counted from 1.: x = ' 2'"),
        (["1", None], pa.string(), "row 2 .counted from 1.: x = nothing"),
        (["2147483648"], pa.string(), "row 1 .counted from 1.: x = '2147483648'"),
        ([1, None], pa.int64(), "row 2 .counted from 1.: x = nothing"),
        ([2**63], pa.uint64(), "row 1 .counted from 1.: x = 9223372036854775808"),
        ([1.0, 1.5], pa.float64(), "row 2 .counted from 1.: x = 1.5"),
        ([1.0, float("nan")], pa.float64(), "row 2 .counted from 1.: x = nan"),
        ([float("inf")], pa.float32(), "row 1 .counted from 1.: x = inf"),
        ([1e300], pa.float64(), "row 1 .counted from 1.: x = 1e.300"),
    ],
)
def test_a_fold_that_is_no_whole_number_names_its_row_and_value(values, kind, shown):
    """Words, fractions, blanks, nothing and numbers beyond 32 bits are refused."""
    with pytest.raises(DatasetError, match=f"{shown}: expected a whole number"):
        whole_numbers(column(values, kind), "x", pa.int32())


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.int32(), pa.string()])
def test_whole_numbers_of_any_width_are_the_same_numbers(kind):
    """Parquet may hold folds in any integer type, a CSV as digits."""
    values = column([1, 10] if kind != pa.string() else ["1", "10"], kind)
    assert whole_numbers(values, "x", pa.int32()).to_pylist() == [1, 10]
    assert whole_numbers(values, "x", pa.int32()).type == pa.int32()


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16(), pa.string()])
def test_folds_that_pandas_made_floats_of_are_whole_numbers(kind):
    """A column that once had a gap is written as 1.0, 10.0."""
    values = column([1.0, 10.0] if kind != pa.string() else ["1.0", "10."], None).table["x"].cast(kind)
    found = whole_numbers(Metadata("m", pa.table({"x": values}), None), "x", pa.int32())
    assert found.to_pylist() == [1, 10]


def test_recordings_that_pandas_made_floats_of_keep_their_numbers():
    """Whole numbers with gaps are 77751.0 and NaN in Parquet, 77751.0 and nothing in a CSV; they mean 77751."""
    for values in ([77751.0, None], [77751.0, float("nan")]):
        assert names_of_recordings(column(values, pa.float64()), "x").to_pylist() == ["77751", None]
    csv = Metadata("m.csv", pa.table({"x": pa.chunked_array([["77751.0", None, "2.0"]])}), b"")
    assert names_of_recordings(csv, "x").to_pylist() == ["77751", None, "2"]


@pytest.mark.parametrize("values", [["1.0", "1.1"], ["1.0", "tape"], ["1.0", "01"], [None, None]])
def test_recordings_that_are_named_so_stay_as_they_are(values):
    """Versions and names are no whole numbers: the whole column decides."""
    csv = Metadata("m.csv", pa.table({"x": pa.chunked_array([pa.array(values, pa.string())])}), b"")
    assert names_of_recordings(csv, "x").to_pylist() == values


def test_columns_are_read_as_they_are_given():
    """Several in one, or several times; a name with a comma stands in quotes."""
    assert read_columns(("path=file,label=kind", '"group=a, b"')) == {
        "path": "file",
        "label": "kind",
        "group": "a, b",
    }
    for wrong in ("path", "path=", "=file"):
        with pytest.raises(DatasetError, match="expected an assignment"):
            read_columns((wrong,))
    with pytest.raises(DatasetError, match="path is named twice"):
        read_columns(("path=a", "path=b"))


def test_columns_of_other_names_keep_these_beside():
    """The values stand under our name, and under their own if nothing else is meant by it."""
    table = pa.table({"file": ["a"], "row": ["r"], "fold": [9], "part": [1]})
    columns = {"path": "file", "label": "row", "fold": "part"}
    named = with_columns(Metadata("m", table, None), columns, ("path", "label", "fold"))
    assert named.table.to_pylist() == [{"file": "a", "part": 1, "path": "a", "label": "r", "fold": 1}]
    with pytest.raises(DatasetError, match=r"gruop=file: expected one of path, label"):
        with_columns(Metadata("m", table, None), {"gruop": "file"}, ("path", "label"))
    with pytest.raises(DatasetError, match=r"path=File: no column 'File'; found 'file'"):
        with_columns(Metadata("m", table, None), {"path": "File"}, ("path", "label"))


@pytest.mark.parametrize("value", ["", " ", "\t", None])
def test_a_label_that_says_nothing_is_refused(value):
    """An empty or blank label would be a class without a name."""
    with pytest.raises(DatasetError, match="row 2"):
        filled_text(column(["dog", value], pa.string()), "x")


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\x7f", "a\x85b"])
def test_control_characters_are_refused(value):
    """They would break tables, terminals and file names later on."""
    with pytest.raises(DatasetError, match=r"row 1 .*without control characters"):
        text(column([value], pa.string()), "x")


def test_whole_numbers_may_be_labels_and_groups():
    """A Parquet manifest may hold group 100032 as a number; it is a name here."""
    assert text(column([100032, None], pa.int64()), "x").to_pylist() == ["100032", None]
    with pytest.raises(DatasetError, match="x is double: expected text"):
        text(column([0.5]), "x")


def test_decimals_are_numbers():
    """UrbanSound8K's start and end are float64 even if all happen to be whole."""
    assert decimals(column(["0", "58.5"], pa.string()), "x").to_pylist() == [0.0, 58.5]
    with pytest.raises(DatasetError, match=r"row 1 .*expected a number"):
        decimals(column(["4 s"], pa.string()), "x")


def test_published_names_include_the_pooled_columns():
    """A dataset's own column must not be taken for a result."""
    assert is_published("duration")
    assert is_published("mfcc_mean_00")
    assert not is_published("salience")
