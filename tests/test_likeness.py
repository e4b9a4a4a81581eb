"""Labels and groups that look alike."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.likeness import likeness, lookalikes, warnings


def clips(labels, groups=None, folds=None) -> pa.Table:
    """Make a table of clips."""
    groups = groups or [None] * len(labels)
    return pa.table(
        {
            "label": pa.array(labels, pa.string()),
            "group": pa.array(groups, pa.string()),
            "fold": pa.array(folds or [1] * len(labels), pa.int32()),
        }
    )


@pytest.mark.parametrize(
    "other",
    ["rain ", " rain", "Rain", "RAIN", "ra\u200bin", "\u00a0rain", "\ufeffrain", "\uff52\uff41\uff49\uff4e"],
)
def test_space_case_and_unicode_form_make_no_other_class(other):
    """Spaces (also such as take no room), capitals and full-width letters are found, quoted and counted."""
    (found,) = lookalikes(clips(["rain", "rain", other, "dog"]))
    assert found.column == "label"
    assert found.spellings == (("rain", 2), (other, 1))
    assert "'rain' (2 clips)" in str(found)
    assert ascii(other) in str(found)


def test_a_composed_letter_and_a_decomposed_one_are_told_apart_in_the_message():
    """Both look the same on a terminal, so their codes are given too."""
    one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    (found,) = lookalikes(clips([one, other, other]))
    assert str(found).endswith(f"{other!r} = 'cafe\\u0301' (2 clips), {one!r} = 'caf\\xe9' (1 clip)")


def test_recordings_that_look_alike_in_several_folds_may_leak():
    """A space hides that one recording is on both sides of a split."""
    (found,) = lookalikes(clips(["dog"] * 3, ["tape-0", "tape-0 ", None], [2, 1, 3]))
    assert (found.column, found.folds) == ("group", (1, 2))
    assert str(found).endswith("'tape-0' (1 clip), 'tape-0 ' (1 clip); in folds 1, 2, a leak if they are one")


def test_what_differs_in_more_is_no_finding():
    """Other letters, digits, marks and missing groups are no spelling of each other."""
    assert (
        lookalikes(clips(["dog", "dogs", "do g", "dog_", "dög", "1", "01"], ["a", None, "b", None, "c", "d", "e"]))
        == ()
    )
    assert lookalikes(clips([])) == ()


@given(st.text(min_size=1, max_size=8))
def test_likeness_is_that_of_every_unicode_form(text):
    """The same text in four forms looks the same."""
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    assert len(set(likeness(pa.array(forms)).to_pylist())) == 1


def test_many_are_warned_of_in_a_few_lines():
    """A dataset where all is doubled does not fill the terminal."""
    names = [f"{letter}{space}" for letter in "abcdefgh" for space in ("", " ")]
    lines = warnings(lookalikes(clips(names)), most=3)
    assert len(lines) == 4
    assert lines[-1].startswith("and 5 more")
