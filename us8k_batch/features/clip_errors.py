"""What can be wrong with one clip's bytes; each becomes a `Failure` with its stage and error word."""

from __future__ import annotations

from us8k_batch.errors import ClipError


class NotDecodableError(ClipError):
    """libsndfile does not know this format, or the data is broken."""

    stage = "decode"
    error = "not_decodable"


class UnsupportedFormatError(ClipError):
    """The file is of a known kind that libsndfile does not read, such as AAC."""

    stage = "decode"
    error = "unsupported_format"


class EmptyClipError(ClipError):
    """There is no sample to compute from, in the source or after resampling."""

    stage = "extract"
    error = "empty"


class NotFiniteError(ClipError):
    """A sample is NaN or infinite, or so large that the features are."""

    stage = "extract"
    error = "not_finite"


class TooLongError(ClipError):
    """The clip is longer than the store has room for."""

    stage = "extract"
    error = "too_long"
