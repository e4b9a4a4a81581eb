"""The surest mistakes of a run, out of a table that anybody may have written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_documents import CLASSES, make_predictions

from us8k_batch.errors import DamageError
from us8k_batch.store import parquet
from us8k_batch.training.mistakes import LONGEST, worst_mistakes


def write(folder: Path, table: pa.Table) -> Path:
    """Write a table as a run does."""
    file = folder / "predictions.parquet"
    file.write_bytes(parquet.encode(table, {}))
    return file


def test_the_surest_come_first_and_what_is_right_is_left_out(tmp_path: Path) -> None:
    """Every third clip is wrong, the later the surer; more than there are is all of them."""
    file = write(tmp_path, make_predictions())
    worst = worst_mistakes(file, "folds", 3)
    assert [one.clip_id for one in worst] == ["clip-057", "clip-054", "clip-051"]
    assert (worst[0].label, worst[0].predicted, worst[0].split) == (CLASSES[0], CLASSES[1], "2")
    assert worst[0].confidence == pytest.approx(0.875)
    assert len(worst_mistakes(file, "folds", 1000)) == 20
    assert worst_mistakes(file, "article", 3) == []


def test_they_are_found_in_any_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at a few rows at a time gives the same."""
    file = write(tmp_path, make_predictions())
    whole = worst_mistakes(file, "folds", 7)
    monkeypatch.setattr("us8k_batch.training.mistakes.ROWS", 7)
    assert worst_mistakes(file, "folds", 7) == whole


def test_who_is_right_is_looked_at_and_not_believed(tmp_path: Path) -> None:
    """A column that calls every mistake right hides none."""
    table = make_predictions()
    table = table.set_column(table.column_names.index("correct"), "correct", pa.array([True] * len(table)))
    assert len(worst_mistakes(write(tmp_path, table), "folds", 1000)) == 20


@pytest.mark.parametrize("name", ["clip_id", "label", "confidence"])
def test_another_table_is_refused(name: str, tmp_path: Path) -> None:
    """A column that is missing, or of another type, is named."""
    table = make_predictions()
    with pytest.raises(DamageError, match=name):
        worst_mistakes(write(tmp_path, table.drop_columns([name])), "folds", 3)
    wrong = table.set_column(table.column_names.index(name), name, pa.array(range(len(table))))
    with pytest.raises(DamageError, match=f"{name} is int64"):
        worst_mistakes(write(tmp_path, wrong), "folds", 3)


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    """Noise, and a flipped byte in a page, are damage and no crash."""
    file = write(tmp_path, make_predictions())
    data = bytearray(file.read_bytes())
    data[60] ^= 0xFF
    for content in (bytes(data), b"noise", b""):
        file.write_bytes(content)
        with pytest.raises(DamageError, match="not the predictions of a run"):
            worst_mistakes(file, "folds", 3)


def test_long_texts_are_cut_and_huge_groups_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One long name in the dictionary is never spread over the rows; columns beyond the limit are not read."""
    table = make_predictions(200)
    name = pa.array(["x" * 100_000] * 200)
    file = tmp_path / "predictions.parquet"
    pq.write_table(table.set_column(0, "clip_id", name), file, dictionary_pagesize_limit=1 << 24)
    (worst,) = worst_mistakes(file, "folds", 1)
    assert worst.clip_id == "x" * LONGEST
    monkeypatch.setattr("us8k_batch.training.mistakes.MOST_BYTES", 1000)
    with pytest.raises(DamageError, match="bytes in row group 0, expected up to 1000"):
        worst_mistakes(file, "folds", 1)
