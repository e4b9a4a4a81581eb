"""What can be wrong with one clip's bytes; each becomes a `Failure` with its stage and error word."""

from __future__ import annotations

from us8k_batch.audio.kinds import explain
from us8k_batch.audio.opening import FileBytes, NotAudioError
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


def refusal(data: FileBytes, error: Exception) -> Exception:
    """Make the clip's error of what `open_audio` or `describe_error` tells; other errors are returned as they are."""
    if not isinstance(error, NotAudioError):
        return error
    word, detail = explain(data, str(error))
    return _REFUSALS[word](detail)


_REFUSALS: dict[str, type[ClipError]] = {
    kind.error: kind for kind in (EmptyClipError, NotDecodableError, UnsupportedFormatError)
}
