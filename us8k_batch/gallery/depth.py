"""How many bits a file spends on each sample, as people say it."""

from __future__ import annotations

BITS = {
    "PCM_S8": 8, "PCM_U8": 8, "DPCM_8": 8, "ALAW": 8, "ULAW": 8,
    "DWVW_12": 12,
    "PCM_16": 16, "ALAC_16": 16, "DPCM_16": 16, "DWVW_16": 16, "NMS_ADPCM_16": 2, "NMS_ADPCM_24": 3,
    "NMS_ADPCM_32": 4,
    "ALAC_20": 20,
    "PCM_24": 24, "ALAC_24": 24, "DWVW_24": 24,
    "PCM_32": 32, "ALAC_32": 32, "FLOAT": 32,
    "DOUBLE": 64,
    "IMA_ADPCM": 4, "MS_ADPCM": 4, "VOX_ADPCM": 4, "G721_32": 4, "G723_24": 3, "G723_40": 5,
}  # fmt: skip
"""Of each coding of libsndfile that spends the same on every sample."""
KINDS = {"FLOAT": "float", "DOUBLE": "float", "ALAW": "A-law", "ULAW": "µ-law"}
"""What the bits are, where they are no whole numbers."""


def bit_depth(subtype: str) -> str:
    """Say how many bits a sample has.

    Parameters
    ----------
    subtype : str
        soundfile's name of the coding, such as ``PCM_24``.

    Returns
    -------
    str
        Such as ``24 bit``, ``32 bit float`` or ``4 bit ADPCM``; ``compressed`` for MP3, Vorbis and their like,
        which have no such number.
    """
    bits = BITS.get(subtype)
    if bits is None:
        return "compressed"
    kind = KINDS.get(subtype) or ("ADPCM" if bits < 8 else "")
    return f"{bits} bit {kind}".strip()
