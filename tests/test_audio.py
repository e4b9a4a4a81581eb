"""Decoding: every format and rate as librosa does, and what happens to clips that are wrong."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import (
    flac_promising,
    formats,
    make_audio,
    make_samples,
    mp3_promising,
    patched,
    wav_promising,
    write_audio,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from librosa_reference import assert_agrees, load, mfcc

from us8k_batch.config import RES_TYPES, FeatureConfig
from us8k_batch.errors import ClipError
from us8k_batch.features.audio import Header, decode, read_header
from us8k_batch.features.clip_errors import (
    EmptyClipError,
    NotDecodableError,
    NotFiniteError,
    TooLongError,
    UnsupportedFormatError,
)
from us8k_batch.features.mfcc import compute_mfcc

CONFIG = FeatureConfig(max_seconds=60.0)

UNWRITABLE = {
    ("AIFF", "DWVW_12"): "libsndfile does not write it",
    ("MP3", "MPEG_LAYER_I"): "libsndfile does not write it",
    ("MP3", "MPEG_LAYER_II"): "libsndfile does not write it",
    ("WAV", "MPEG_LAYER_III"): "libsndfile does not write it",
    ("RAW", "VOX_ADPCM"): "soundfile fails to write it",
}
"""Formats that soundfile names, but that cannot be made here."""

UNREADABLE = {
    "RAW": "has no header to know it by",
    "SD2": "keeps its header in another file, the resource fork",
}
"""Formats that fail as not_decodable."""

FORWARD_ONLY = {("AIFF", "DWVW_16"), ("AIFF", "DWVW_24")}
"""Formats that librosa.load does not read, because soundfile seeks after each read; we do not seek."""

NO_SEEK = {"GSM610", "G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32",
           "DPCM_16", "DPCM_8"}  # fmt: skip
"""Subtypes that librosa.load reads only when it is given a duration, and we always."""

WRITABLE = [pair for pair in formats() if pair not in UNWRITABLE]
READABLE = [pair for pair in WRITABLE if pair not in FORWARD_ONLY and pair[0] not in UNREADABLE]


def make_in(format: str, subtype: str, **options: int) -> bytes:
    """Make a clip in a format, stereo if the format can, at 16 kHz."""
    for channels in (2, 1):
        with contextlib.suppress(soundfile.SoundFileError, AssertionError):
            return make_audio(format=format, subtype=subtype, channels=channels, **options)
    raise AssertionError(f"{format} {subtype} cannot be written")


def agrees(data: bytes, path: Path, config: FeatureConfig = CONFIG, duration: float | None = None) -> None:
    """Assert that the features of a clip are librosa's for the same bytes in a file."""
    path.write_bytes(data)
    theirs = mfcc(load(path, config, duration), config)
    assert_agrees(compute_mfcc(decode(data, config).samples, config), theirs)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where no resource fork lies, because libsndfile looks for one in the working directory."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")


@pytest.mark.parametrize(("format", "subtype"), READABLE)
def test_every_format_gives_librosas_features(format: str, subtype: str, tmp_path: Path) -> None:
    """Whatever soundfile can write and read back gives the features that librosa gives."""
    data = make_in(format, subtype)
    assert read_header(data).subtype == subtype
    agrees(data, tmp_path / "clip", duration=60.0 if subtype in NO_SEEK else None)


@pytest.mark.parametrize(("format", "subtype"), sorted(FORWARD_ONLY))
def test_what_cannot_be_seeked_is_read_forward(format: str, subtype: str) -> None:
    """A lossless format in which libsndfile cannot seek gives the samples that were written."""
    samples = make_samples(sample_rate=22050)
    decoded = decode(make_audio(samples, format=format, subtype=subtype, sample_rate=22050), CONFIG).samples
    np.testing.assert_allclose(decoded, samples[:, 0], atol=1e-4)


def test_no_format_is_left_out() -> None:
    """The formats that are not compared are exactly those listed with a reason, and libsndfile refuses them."""
    for format, subtype in set(formats()) - set(READABLE) - FORWARD_ONLY:
        try:
            data = make_in(format, subtype)
        except AssertionError:
            assert (format, subtype) in UNWRITABLE
        else:
            assert format in UNREADABLE
            with pytest.raises(NotDecodableError):
                decode(data, CONFIG)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000])
def test_every_rate_and_number_of_channels(rate: int, channels: int, tmp_path: Path) -> None:
    """Rates from 8 to 192 kHz and more than two channels are downmixed, then resampled, as librosa does."""
    data = make_audio(sample_rate=rate, channels=channels, seconds=0.3, subtype="PCM_24")
    (tmp_path / "clip.wav").write_bytes(data)
    ours, theirs = decode(data, CONFIG).samples, load(tmp_path / "clip.wav", CONFIG)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("res_type", RES_TYPES)
def test_every_resampler(res_type: str, rate: int, tmp_path: Path) -> None:
    """Every resampler gives the very samples that librosa gives."""
    config = FeatureConfig(res_type=res_type, max_seconds=1.0)
    data = make_audio(sample_rate=rate, n_samples=4801, channels=2)
    (tmp_path / "clip.wav").write_bytes(data)
    assert np.array_equal(decode(data, config).samples, load(tmp_path / "clip.wav", config))


def test_the_header_and_the_duration() -> None:
    """The header tells format, rate, channels and length; the duration is what was decoded."""
    data = make_audio(sample_rate=44100, channels=2, n_samples=11025)
    header = read_header(data)
    assert header == Header("WAV", "PCM_16", 44100, 2, 11025)
    assert header.duration == 0.25
    told: list[Header] = []
    audio = decode(data, CONFIG, told.append)
    assert (audio.duration, audio.header, told) == (0.25, header, [header])


@pytest.mark.parametrize("name", ["clip.mp3", "clip.raw", "clip.txt", "clip", "clip.ogg"])
def test_the_content_decides_and_not_the_extension(name: str, tmp_path: Path) -> None:
    """A WAV file under any other name is a WAV file."""
    path = write_audio(tmp_path / name)
    assert read_header(path.read_bytes()).format == "WAV"
    assert len(decode(path.read_bytes(), CONFIG).samples) == 11025


@pytest.mark.parametrize("res_type", ["soxr_hq", "kaiser_fast"])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 100, 2047, 2048, 2049])
def test_a_clip_shorter_than_a_window_gives_librosas_features(n_samples: int, res_type: str, tmp_path: Path) -> None:
    """Down to one sample, at the analysis rate, a clip has features: it is padded with silence."""
    config = FeatureConfig(res_type=res_type, max_seconds=1.0)
    agrees(make_audio(n_samples=n_samples, sample_rate=22050), tmp_path / "clip.wav", config)


def test_one_sample_that_is_resampled(tmp_path: Path) -> None:
    """One sample at 44.1 kHz has librosa's features with soxr, and is empty with resampy, which makes none of it."""
    data = make_audio(n_samples=1, sample_rate=44100)
    agrees(data, tmp_path / "clip.wav")
    with pytest.raises(EmptyClipError, match=r"1 samples at 44100 Hz are too few for kaiser_fast"):
        decode(data, FeatureConfig(res_type="kaiser_fast", max_seconds=1.0))
    with pytest.raises(ValueError, match="too small"):
        load(tmp_path / "clip.wav", FeatureConfig(res_type="kaiser_fast"))


@pytest.mark.parametrize("format", ["WAV", "OGG", "AIFF", "W64", "RF64"])
def test_no_sample_at_all_is_empty(format: str) -> None:
    """A file of 0 samples fails as empty, although librosa makes a finite frame of it."""
    with pytest.raises(EmptyClipError, match="no sample") as caught:
        decode(make_audio(n_samples=0, format=format), CONFIG)
    assert (caught.value.stage, caught.value.error) == ("extract", "empty")


def test_silence_gives_librosas_features(tmp_path: Path) -> None:
    """All zeros are a clip like any other."""
    agrees(make_audio(np.zeros(16000)), tmp_path / "clip.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_a_sample_that_is_not_finite(subtype: str, bad: float) -> None:
    """One NaN or infinity in any channel fails as not_finite."""
    samples = make_samples(channels=2)
    samples[1000, 1] = bad
    with pytest.raises(NotFiniteError) as caught:
        decode(make_audio(samples, subtype=subtype), CONFIG)
    assert (caught.value.stage, caught.value.error) == ("extract", "not_finite")


def test_a_double_that_no_float_can_hold() -> None:
    """A 64-bit sample beyond float32 is infinite once read, and fails as not_finite."""
    samples = make_samples().astype(np.float64)
    samples[5] = 1e200
    with pytest.raises(NotFiniteError):
        decode(make_audio(samples, subtype="DOUBLE"), CONFIG)


def test_too_long_says_what_to_do() -> None:
    """One sample beyond max_seconds is too_long, and the message names the ways out; max_seconds itself fits."""
    config = FeatureConfig(max_seconds=1.0)
    assert len(decode(make_audio(n_samples=16000), config).samples) == 22050
    with pytest.raises(TooLongError, match=r"1\.00006 s long.*1 s.*new store.*truncate=true") as caught:
        decode(make_audio(n_samples=16001), config)
    assert (caught.value.stage, caught.value.error) == ("extract", "too_long")


@given(rate=st.sampled_from([8000, 16000, 37800, 44100, 48000]), tenths=st.integers(1, 60))
def test_every_clip_that_fits_has_room(rate: int, tenths: int) -> None:
    """A clip of exactly max_seconds is accepted and has no more frames than the store."""
    config = FeatureConfig(max_seconds=tenths / 10, hop_length=1)
    data = make_audio(np.zeros(rate * tenths // 10), sample_rate=rate, subtype="PCM_U8")
    assert config.frames_of(len(decode(data, config).samples)) <= config.frames


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("seconds", [0.1, 0.333, 2.0])
def test_truncate_gives_what_librosa_gives_for_a_duration(format: str, seconds: float, tmp_path: Path) -> None:
    """With truncate, a clip is what ``librosa.load(duration=max_seconds)`` makes of it."""
    config = FeatureConfig(max_seconds=seconds, truncate=True)
    data = make_audio(format=format, sample_rate=44100, seconds=1.0, channels=2)
    agrees(data, tmp_path / "clip", config, duration=seconds)
    assert decode(data, config).duration == pytest.approx(min(seconds, 1.0), abs=1 / 44100)


def peak_bytes(data: bytes, config: FeatureConfig) -> int:
    """Decode and return how much memory that took at most."""
    tracemalloc.start()
    try:
        with contextlib.suppress(ClipError):
            decode(data, config)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("truncate", [False, True])
def test_no_more_of_a_long_clip_is_decoded_than_fits(truncate: bool) -> None:
    """Memory follows from max_seconds, not from the length of the clip."""
    data = make_audio(np.zeros((44100 * 100, 2)), sample_rate=44100, format="FLAC")
    assert peak_bytes(data, FeatureConfig(max_seconds=1.0, truncate=truncate)) < 2_000_000


@pytest.mark.parametrize("max_seconds", [None, 86400.0])
def test_an_absurd_header_takes_no_absurd_memory(max_seconds: float | None) -> None:
    """Headers that promise terabytes cost megabytes, and the samples that are there count."""
    config = FeatureConfig(max_seconds=max_seconds)
    mp3 = make_audio(format="MP3", sample_rate=22050)
    flac = make_audio(format="FLAC", sample_rate=22050)
    assert peak_bytes(mp3_promising(mp3, 2**31), config) < 16_000_000
    assert peak_bytes(flac_promising(flac, 2**36 - 1), config) < 16_000_000
    assert len(decode(mp3_promising(mp3, 2**31), config).samples) >= 11025


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    """The samples that are there count, also where librosa fails because it seeks (FLAC)."""
    wav, mp3 = make_audio(), make_audio(format="MP3")
    for data in (wav_promising(wav, 2**32 - 1), wav_promising(wav, 10**6), mp3_promising(mp3, 1000)):
        agrees(data, tmp_path / "clip")
    flac = make_audio(format="FLAC")
    for promised in (0, 10**6, 2**36 - 1):  # 0 stands for a length that was not known
        np.testing.assert_array_equal(
            decode(flac_promising(flac, promised), CONFIG).samples, decode(flac, CONFIG).samples
        )


def test_a_header_that_promises_less_than_there_is(tmp_path: Path) -> None:
    """What the header does not promise is not read, as in librosa."""
    agrees(wav_promising(make_audio(), 4000), tmp_path / "clip")
    agrees(flac_promising(make_audio(format="FLAC"), 4000), tmp_path / "clip")
    with pytest.raises(EmptyClipError):
        decode(wav_promising(make_audio(), 0), CONFIG)


def test_a_source_that_unpacks_to_far_more_than_its_size(tmp_path: Path) -> None:
    """Long silence in FLAC needs more room than its size suggests, and gets it."""
    samples = np.zeros((44100 * 30, 2), dtype=np.float32)
    samples[-3000:] = make_samples(n_samples=3000, channels=2)
    data = make_audio(samples, format="FLAC", sample_rate=44100)
    assert samples.size > 32 * len(data) + (1 << 20)
    told: list[Header] = []
    (tmp_path / "clip").write_bytes(data)
    assert np.array_equal(decode(data, CONFIG, told.append).samples, load(tmp_path / "clip", CONFIG))
    assert len(told) == 1


BASES = {format: make_audio(format=format, seconds=0.2) for format in ("WAV", "FLAC", "OGG", "MP3", "AIFF")}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(format=st.sampled_from(sorted(BASES)), keep=st.floats(0, 1))
@example(format="AIFF", keep=24.5 / len(BASES["AIFF"]))  # libsndfile seeks to before the start of this one
def test_truncated_data_is_librosas_or_fails(format: str, keep: float, tmp_path: Path) -> None:
    """A file cut anywhere gives the samples that librosa finds in it; if librosa fails or finds none, it fails."""
    data = BASES[format][: int(keep * len(BASES[format]))]
    (tmp_path / "clip").write_bytes(data)
    try:
        theirs = load(tmp_path / "clip", CONFIG)
    except Exception:
        theirs = np.empty(0, dtype=np.float32)
    if len(theirs):
        assert np.array_equal(decode(data, CONFIG).samples, theirs)
    else:
        with pytest.raises(ClipError):
            decode(data, CONFIG)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(at=st.integers(0, 60).filter(lambda at: at not in range(24, 28)), value=st.integers(0, 255))
def test_a_wrong_byte_in_a_header_is_librosas_or_fails(at: int, value: int, tmp_path: Path) -> None:
    """A WAV file with one wrong byte gives what librosa gives or fails as a clip, and nothing else happens."""
    config = FeatureConfig(max_seconds=1.0)
    data = patched(BASES["WAV"], at, bytes([value]))
    try:
        ours = decode(data, config).samples
    except ClipError:
        return
    (tmp_path / "clip").write_bytes(data)
    assert np.array_equal(ours, load(tmp_path / "clip", config))


def test_an_empty_file_is_empty() -> None:
    """No byte at all is the same as no sample."""
    with pytest.raises(EmptyClipError, match="0 bytes"):
        decode(b"", CONFIG)


def test_audio_of_another_kind_is_named() -> None:
    """What libsndfile does not read, and is no damage, says what it is and how to convert it."""
    with pytest.raises(UnsupportedFormatError, match=r"AAC.*ffmpeg") as caught:
        decode(b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(1000), CONFIG)
    assert (caught.value.stage, caught.value.error) == ("decode", "unsupported_format")


@given(st.binary(max_size=3000))
def test_rubbish_fails_as_a_clip(data: bytes) -> None:
    """Any bytes at all give samples or a ClipError, never another exception."""
    with contextlib.suppress(ClipError):
        decode(data, CONFIG)


@pytest.mark.parametrize("data", [b"x", b"hello world\n" * 500, b"\xff" * 9000, b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_audio_says_so(data: bytes) -> None:
    """What libsndfile does not know fails as not_decodable, in the same words every time."""
    details = set()
    for _ in range(2):
        with pytest.raises(NotDecodableError, match="libsndfile") as caught:
            decode(data, CONFIG)
        details.add(str(caught.value))
        assert (caught.value.stage, caught.value.error) == ("decode", "not_decodable")
    assert len(details) == 1
    assert "0x" not in details.pop()
