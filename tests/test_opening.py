"""Audio in memory is opened exactly as libsndfile opens the file by its path."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.audio.opening import EXTENSIONS, NotAudioError, extension_of, open_audio
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import Failure
from us8k_batch.features.audio import Header
from us8k_batch.features.decoder import Decoder
from us8k_batch.features.engine import Features, make_engine

CONFIG = FeatureConfig(max_seconds=4.0)

RATE = 8000
NOISE = np.random.default_rng(1).uniform(-0.3, 0.3, RATE).astype(np.float32)


def encode(container: str, subtype: str) -> bytes:
    """Make a file of a second of noise."""
    file = io.BytesIO()
    soundfile.write(file, NOISE, RATE, format=container, subtype=subtype)
    return file.getvalue()


FILES = {
    f"{container} {subtype}": encode(container, subtype)
    for container, subtype in [
        ("WAV", "PCM_16"), ("WAV", "ALAW"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_24"),
        ("W64", "PCM_16"), ("RF64", "PCM_16"), ("CAF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"), ("AU", "PCM_16"),
    ]
}  # fmt: skip


def id3v2(size: int) -> bytes:
    """Make a tag of one private frame, so many bytes long in all."""
    body = b"PRIV" + struct.pack(">I", size - 20) + bytes(2) + bytes(range(256)) * (size // 256 + 1)
    length = size - 10
    return b"ID3\3\0\0" + bytes(length >> shift & 127 for shift in (21, 14, 7, 0)) + body[:length]


PREFIXES = {
    "nothing": b"", "tag": id3v2(3000), "two tags": id3v2(300) * 2, "tag and padding": id3v2(300) + bytes(2000),
    "zeros": bytes(1024), "stray byte": b"\xff",
}  # fmt: skip


def read(file: str | soundfile.SoundFile) -> tuple | str:
    """Return all that is read of a file, or that it cannot be opened."""
    try:
        with file if isinstance(file, soundfile.SoundFile) else soundfile.SoundFile(file) as opened:
            facts = opened.format, opened.subtype, opened.samplerate, opened.channels, opened.frames
            return *facts, opened.read(min(opened.frames, 10 * RATE), dtype="float32").tobytes()
    except soundfile.SoundFileError:
        return "not opened"


def open_or_say(data: bytes, extension: str) -> tuple | str:
    """Do the same with data in memory."""
    try:
        return read(open_audio(data, extension))
    except NotAudioError:
        return "not opened"


def by_path(data: bytes, name: str) -> tuple | str:
    """Read the same data from a file of this name."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}"
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data)
        return read(path)


@pytest.mark.parametrize("name", ["clip.mp3", "clip.WAV", "clip"])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("kind", FILES)
def test_what_comes_first_costs_no_samples(kind, prefix, name):
    """Behind tags, padding and junk the same samples are read as by the path, or the same files refused."""
    data = PREFIXES[prefix] + FILES[kind]
    assert open_or_say(data, extension_of(name)) == by_path(data, name)


def test_a_tag_before_riff_costs_no_audio():
    """All samples are there, not as many bytes less as the tag is long."""
    with open_audio(id3v2(100_000) + FILES["WAV PCM_16"]) as file:
        assert file.frames == RATE


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_an_extension_decides_where_the_content_does_not(extension):
    """Headerless codings are read as by the path, whatever the case of the extension."""
    data = b"\x55" * 3300
    found = open_or_say(data, extension_of(f"Clip.{extension.upper()}"))
    assert found == by_path(data, f"clip.{extension}")
    assert (found == "not opened") == (extension == "mp3")


@pytest.mark.parametrize(
    ("path", "extension"),
    [
        ("a/b.MP3", "mp3"),
        ("a.mp3/b", ""),
        ("s3://bucket/x.y.vox", "vox"),
        ("b.wav", ""),
        ("mp3", ""),
        (".gsm", "gsm"),
    ],
)
def test_the_extension_is_that_of_the_last_part(path, extension):
    """Only those that libsndfile looks at are told apart."""
    assert extension_of(path) == extension


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=6))
def test_no_other_extension_decides(extension):
    """Data that libsndfile does not know is known under no extension but those that are told apart."""
    if not extension_of(f"clip.{extension}") and extension.rpartition(".")[2].lower() != "raw":
        assert by_path(b"\x55" * 330, f"clip.{extension}") == "not opened"


def test_a_wave64_from_a_pipe_is_read():
    """Its length fields are open; a seek beyond the file's end fails as a file's does."""
    data = bytearray(FILES["W64 PCM_16"])
    at = data.index(b"data")
    data[16:24] = data[at + 16 : at + 24] = b"\xff" * 7 + b"\x7f"
    assert by_path(bytes(data), "clip.w64") == open_or_say(bytes(data), "")


@pytest.mark.parametrize("data", [b"", b"RIFF", b"<html>" * 100])
def test_what_is_refused_is_told_without_a_path(data):
    """The message is the same in every run."""
    for extension in ("", "mp3"):
        with pytest.raises(NotAudioError) as error:
            open_audio(data, extension)
        assert "/" not in str(error.value)
        assert "us8k" not in str(error.value)


def test_an_open_file_is_its_own():
    """Two files that are open at the same time do not disturb each other, and nothing of them stays behind."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        first, second = open_audio(FILES["WAV PCM_16"]), open_audio(bytes(1024) + FILES["MP3 MPEG_LAYER_III"], "mp3")
        assert (len(second.read(second.frames)), len(first.read(first.frames))) == (RATE, RATE)
        assert not list(Path(folder).iterdir())


def test_a_file_is_read_forward_only():
    """No seek that the file refuses can cost its samples: a FLAC of unknown length is read to its end."""
    data = bytearray(FILES["FLAC PCM_16"])
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    with open_audio(bytes(data)) as file:
        assert file.frames > 1 << 60
        assert len(file.read(out=np.empty(2 * RATE, np.float32))) == RATE


def test_without_memory_files_a_temporary_file_serves(monkeypatch):
    """Where the system has none, as macOS, the same is read."""
    data = bytes(1024) + FILES["MP3 MPEG_LAYER_III"]
    expected = open_or_say(data, "mp3")
    monkeypatch.delattr("os.memfd_create")
    assert open_or_say(data, "mp3") == expected != "not opened"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tagged.wav", id3v2(20_000) + FILES["WAV PCM_16"]),
        ("zeros.mp3", bytes(1024) + FILES["MP3 MPEG_LAYER_III"]),
        ("padded.mp3", id3v2(300) + bytes(2000) + FILES["MP3 MPEG_LAYER_III"]),
    ],
)
def test_every_engine_computes_what_librosa_does_by_the_path(name, data, tmp_path):
    """In the decoder child and here, fast and by librosa: the proof does not share an error of opening."""
    (tmp_path / name).write_bytes(data)
    samples, _ = librosa.load(tmp_path / name, sr=22050)
    expected = librosa.feature.mfcc(y=samples, sr=22050, n_mfcc=CONFIG.n_mfcc)
    for engine in ("auto", "librosa"):
        assert np.abs(make_engine(CONFIG, engine)(data, extension_of(name)).mfcc - expected).max() < 2e-3


def test_the_extension_reaches_the_decoder_child():
    """A clip that is known by its extension only is decoded there, and refused without it."""
    data = bytes(1024) + FILES["MP3 MPEG_LAYER_III"]
    with Decoder(CONFIG, "librosa") as decoder:
        assert isinstance(decoder.extract(data, "mp3"), Features)
        assert isinstance(decoder.extract(data), Failure)
        assert isinstance(decoder.read_header(data, "mp3"), Header)
