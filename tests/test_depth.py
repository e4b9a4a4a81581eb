"""Bit depths are named as people name them."""

from __future__ import annotations

import pytest
import soundfile

from us8k_batch.gallery.depth import bit_depth

WITHOUT = {"GSM610", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}


@pytest.mark.parametrize(
    ("subtype", "said"),
    [
        ("PCM_16", "16 bit"),
        ("PCM_24", "24 bit"),
        ("PCM_U8", "8 bit"),
        ("FLOAT", "32 bit float"),
        ("DOUBLE", "64 bit float"),
        ("IMA_ADPCM", "4 bit ADPCM"),
        ("ULAW", "8 bit µ-law"),
        ("VORBIS", "compressed"),
    ],
)
def test_a_coding_has_its_depth(subtype: str, said: str) -> None:
    """Whole numbers are not remarked upon, anything else is."""
    assert bit_depth(subtype) == said


def test_only_what_has_no_depth_has_none() -> None:
    """Of all codings that libsndfile knows here."""
    assert {name for name in soundfile.available_subtypes() if bit_depth(name) == "compressed"} == WITHOUT
