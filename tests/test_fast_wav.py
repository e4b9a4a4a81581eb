"""The fast WAV reader: libsndfile's header and samples to the bit, or nothing."""

from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from audio_files import make_audio, patched, wav_promising
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from us8k_batch.audio.opening import FileBytes
from us8k_batch.config import FeatureConfig
from us8k_batch.features.audio import Header, read_source
from us8k_batch.features.fast.wav import read_wav

GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
SAMPLES = np.random.default_rng(0).uniform(-1, 1, (50, 2))


def chunk(name: bytes, body: bytes) -> bytes:
    """Make a chunk, padded to an even length."""
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def riff(*chunks: bytes) -> bytes:
    """Make a WAV file of chunks."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def form(
    *, tag: int = 1, channels: int = 2, rate: int = 44100, bits: int = 16, tail: bytes = b"", sample_bytes: int = 0
) -> bytes:
    """Make a format chunk."""
    sample_bytes = sample_bytes or channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * sample_bytes, sample_bytes, bits) + tail)


def extensible(
    *, bits: int = 16, valid_bits: int | None = None, tag: int = 1, mask: int = 3, rate: int = 44100
) -> bytes:
    """Make an extensible format chunk."""
    tail = struct.pack("<HHIH", 22, bits if valid_bits is None else valid_bits, mask, tag) + GUID_TAIL
    return form(tag=0xFFFE, bits=bits, tail=tail, rate=rate)


def samples_of(data: FileBytes) -> tuple[Header, NDArray[np.float32]] | None:
    """Read with the fast reader; convert by numpy."""
    wav = read_wav(data)
    if wav is None:
        return None
    values = wav.values
    if wav.header.subtype == "PCM_16":
        samples = values.view("<i2").astype(np.float32) / np.float32(2**15)
    elif wav.header.subtype == "PCM_24":
        low, middle, high = values.reshape(-1, 3).astype(np.int32).T
        samples = (low << 8 | middle << 16 | high << 24).astype(np.float32) / np.float32(2**31)
    else:
        samples = values.view("<f4")
    return wav.header, samples.reshape(-1, wav.header.channels)


def assert_libsndfile_agrees(data: FileBytes) -> bool:
    """Assert that libsndfile reads the same, if the fast reader reads it at all; tell whether it does."""
    ours = samples_of(data)
    if ours is None:
        return False
    header, samples = read_source(data, FeatureConfig(), None)
    assert header == ours[0]
    assert samples.shape == ours[1].shape
    assert samples.tobytes() == ours[1].tobytes()
    return True


BODY = np.arange(-120, 120, dtype="<i2").tobytes()  # as many bytes as make whole samples of any kind
DATA = chunk(b"data", BODY)
LIST = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"Lavf5\0"))
TEXTS = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"a dog\0") + chunk(b"IART", b"me\0") + chunk(b"ICMT", b"."))

READ = {
    "plain": riff(form(), DATA),
    "one channel": riff(form(channels=1), DATA),
    "24 bits": riff(form(bits=24), chunk(b"data", bytes(range(198)))),
    "24 bits, odd": riff(form(bits=24, channels=1), chunk(b"data", bytes(range(33)))),
    "float": riff(form(tag=3, bits=32), chunk(b"data", SAMPLES.astype("<f4").tobytes())),
    "size of extension": riff(form(tail=b"\0\0"), DATA),
    "extensible": riff(extensible(), DATA),
    "extensible float": riff(extensible(bits=32, tag=3), chunk(b"data", bytes(80))),
    "extensible 24 bits": riff(extensible(bits=24), chunk(b"data", bytes(range(66)))),
    "chunk before": riff(form(), chunk(b"fact", bytes(4)), DATA),
    "chunk after": riff(form(), DATA, LIST),
    "texts": riff(form(), TEXTS, DATA),
    "odd chunk before": riff(form(), chunk(b"JUNK", bytes(7)), DATA),
    "odd chunk after": riff(form(), DATA, chunk(b"PAD ", bytes(9))),
    "peaks": riff(form(), chunk(b"PEAK", bytes(24)), DATA),
    "broadcast": riff(form(), chunk(b"bext", bytes(602)), DATA),
}
"""Files that the fast reader reads."""

LEFT = {
    "8 bits": riff(form(bits=8), DATA),
    "32 bits": riff(form(bits=32), DATA),
    "double": riff(form(tag=3, bits=64), DATA),
    "A-law": riff(form(tag=6, bits=8), DATA),
    "16 bits in 32": riff(form(bits=16, sample_bytes=8), DATA),
    "20 bits valid": riff(extensible(bits=24, valid_bits=20), DATA),
    "extensible A-law": riff(extensible(bits=8, tag=6), DATA),
    "other GUID": riff(extensible().replace(GUID_TAIL, bytes(14)), DATA),
    "extensible without extension": riff(form(tag=0xFFFE), DATA),
    "extension without being extensible": riff(form(tail=struct.pack("<HHIH", 22, 16, 3, 1) + GUID_TAIL), DATA),
    "extension that is not there": riff(form(tail=struct.pack("<H", 2)), DATA),
    "form of another size": riff(form(tail=bytes(4)), DATA),
    "other byte rate": patched(riff(form(), DATA), 28, struct.pack("<I", 44100)),
    "no channel": riff(form(channels=0, sample_bytes=4), DATA),
    "six channels": riff(form(channels=6), chunk(b"data", bytes(96))),
    "rate of nothing": riff(form(rate=0), DATA),
    "zero length": riff(form(), chunk(b"data", b"")),
    "no data": riff(form()),
    "no form": riff(DATA),
    "half a sample": riff(form(), chunk(b"data", BODY[:-1])),
    "two data chunks": riff(form(), DATA, DATA),
    "data before fmt": riff(DATA, form()),
    "two forms": riff(form(), form(channels=1), DATA),
    "peaks of another length": riff(form(), chunk(b"PEAK", bytes(16)), DATA),
    "fact of three bytes": riff(form(), chunk(b"fact", bytes(3)), DATA),
    "text that is longer than its list": riff(form(), LIST.replace(b"ISFT\6", b"ISFT\7"), DATA),
    "text that is shorter than its list": riff(form(), LIST.replace(b"ISFT\6", b"ISFT\4"), DATA),
    "empty text": riff(form(), chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"")), DATA),
    "text of an unknown name": riff(form(), LIST.replace(b"ISFT", b"INFO"), DATA),
    "other list": riff(form(), chunk(b"LIST", b"adtl" + chunk(b"labl", bytes(8))), DATA),
    "unknown chunk": riff(form(), chunk(b"smpl", bytes(36)), DATA),
    "chunk before fmt": riff(LIST, form(), DATA),
    "odd chunk without padding": riff(form(), chunk(b"JUNK", bytes(7))[:-1], DATA),
    "float at an odd place": riff(form(tag=3, bits=32, tail=b"\0\0"), chunk(b"data", bytes(80))),
    "truncated": riff(form(), DATA)[:-20],
    "truncated, right RIFF size": patched(
        riff(form(), DATA)[:-20], 4, struct.pack("<I", len(riff(form(), DATA)) - 28)
    ),
    "promises more": wav_promising(riff(form(), DATA), 1 << 31),
    "promises less": wav_promising(riff(form(), DATA), 100),
    "streamed": wav_promising(riff(form(), DATA), 0xFFFFFFFF),
    "RIFF size too small": patched(riff(form(), DATA), 4, struct.pack("<I", 100)),
    "RIFF size too large": patched(riff(form(), DATA), 4, struct.pack("<I", 1 << 20)),
    "RIFF size zero": patched(riff(form(), DATA), 4, bytes(4)),
    "trailing bytes": riff(form(), DATA) + b"rubbish",
    "trailing bytes in RIFF": riff(form(), DATA, b"rubbish"),
    "big-endian": b"RIFX" + riff(form(), DATA)[4:],
    "RF64": make_audio(SAMPLES, format="RF64"),
    "flac": make_audio(SAMPLES, format="FLAC"),
    "empty": b"",
    "head only": b"RIFF",
}
"""Files that it leaves to libsndfile."""


@pytest.mark.parametrize("name", READ)
def test_what_leaves_no_doubt_is_read(name: str) -> None:
    """A well-formed file is read, wherever it lies, and has libsndfile's header and sample bits."""
    assert assert_libsndfile_agrees(READ[name])
    assert assert_libsndfile_agrees(memoryview(bytearray(READ[name])))


@pytest.mark.parametrize("name", LEFT)
def test_what_leaves_a_doubt_is_left_to_libsndfile(name: str) -> None:
    """A file that is odd in any way is not read, rather than guessed at."""
    assert read_wav(LEFT[name]) is None


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_libsndfile_writes_is_read(format: str, subtype: str, channels: int) -> None:
    """The common formats are read as soundfile writes them, so the fast way is the usual one."""
    assert assert_libsndfile_agrees(make_audio(SAMPLES[:, :channels], format=format, subtype=subtype))


def test_every_cut_is_noticed() -> None:
    """A file that ends anywhere before its end is left to libsndfile."""
    for name in ("plain", "extensible", "chunk after", "24 bits, odd"):
        assert all(read_wav(READ[name][:end]) is None for end in range(len(READ[name])))


TEXT_NAMES = [b"ISFT", b"ICRD", b"IENG", b"IABC", b"I\xff\0.", b"data", b"adtl", b"INFO", b"LIST", bytes(4)]


def random_file(rng: random.Random) -> bytes:
    """Make a WAV file of random format, with chunks before, between and after."""
    tag, bits = rng.choice([(1, 16), (1, 24), (3, 32), (1, 8), (1, 32)])
    channels, n_samples = rng.choice([1, 2]), rng.randint(1, 40)
    sample_bytes = channels * bits // 8
    body = rng.randbytes(n_samples * sample_bytes)
    if tag == 3:
        body = np.random.default_rng(n_samples).uniform(-1, 1, n_samples * channels).astype("<f4").tobytes()
    kind = rng.choice(["short", "size", "extensible"])
    tail = {
        "short": b"",
        "size": bytes(2),
        "extensible": struct.pack("<HHIH", 22, bits, rng.choice([0, 1, 3, 4]), tag) + GUID_TAIL,
    }[kind]
    rate = rng.choice([8000, 22050, 44100, 48000])
    head = form(tag=0xFFFE if kind == "extensible" else tag, channels=channels, rate=rate, bits=bits, tail=tail)
    extras = [
        chunk(b"fact", struct.pack("<I", n_samples)),
        LIST,
        TEXTS,
        chunk(b"LIST", b"INFO" + chunk(rng.choice(TEXT_NAMES), rng.randbytes(rng.randint(0, 20)))),
        chunk(b"JUNK", bytes(28)),
        chunk(b"PEAK", struct.pack("<II", 1, 0) + struct.pack("<fI", 0.5, 1) * channels),
        chunk(b"bext", bytes(602)),
        chunk(b"PAD ", bytes(rng.randint(0, 9))),
        chunk(b"id3 ", bytes(11)),
        chunk(b"cue ", bytes(4)),
        chunk(b"smpl", bytes(36)),
        chunk(b"data", body[:sample_bytes]),
        head,
    ]
    weights = [3, 3, 3, 2, 3, 2, 1, 1, 1, 1, 1, 0.3, 0.3]
    before, between, after = (rng.choices(extras, weights, k=rng.choice([0, 0, 0, 1, 2])) for _ in range(3))
    return riff(*before, head, *between, chunk(b"data", body), *after)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Damage a file's headers in up to three ways; sometimes mend the size of the whole."""
    made = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        at = rng.randrange(min(len(made) - 8, 140))
        how = rng.randrange(7)
        if how == 0:
            made[at] = rng.randrange(256)
        elif how == 1:
            made[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            sizes = [0, 1, 2, 3, 4, 8, 16, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 31, len(made), len(made) - 8, len(made) - at]
            struct.pack_into("<I", made, at, rng.choice(sizes))
        elif how == 3:
            numbers = [0, 1, 2, 3, 6, 7, 16, 17, 18, 20, 22, 24, 32, 0xFFFE, 0xFFFF]
            struct.pack_into("<H", made, at, rng.choice(numbers))
        elif how == 4:
            del made[rng.randrange(len(made)) :]
        elif how == 5:
            made[at:at] = rng.randbytes(rng.choice([1, 2, 4]))
        else:
            del made[at : at + rng.choice([1, 2, 4])]
        if len(made) < 60:
            break
    if rng.random() < 0.5 and len(made) > 8:
        struct.pack_into("<I", made, 4, len(made) - 8)
    return bytes(made)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_as_libsndfile_does_or_not_at_all(
    seed: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands of files with damaged headers, each is read with libsndfile's header and bits, or left to it."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))  # libsndfile looks for resource forks
    rng = random.Random(seed)
    outcomes = [assert_libsndfile_agrees(mutated(random_file(rng), rng)) for _ in range(3000)]
    assert 150 < sum(outcomes) < 2700


@pytest.mark.parametrize("name", ["plain", "24 bits, odd", "extensible float", "chunk before", "chunk after"])
def test_every_value_of_every_header_byte(
    name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever one byte of a header becomes, the file is read as libsndfile reads it, or left to it."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    data = READ[name]
    start = data.index(b"data") + 8
    (size,) = struct.unpack_from("<I", data, start - 4)
    headers = [*range(start), *range(start + size, len(data))]
    outcomes = {
        at: [assert_libsndfile_agrees(patched(data, at, bytes([value]))) for value in range(256)] for at in headers
    }
    assert all(outcomes[at][data[at]] for at in headers)  # as it was
    assert not any(sum(outcomes[at]) > 1 for at in (*range(12), start - 8))  # RIFF, its size, WAVE, data


numbers = st.sampled_from([0, 1, 2, 3, 6, 7, 16, 17, 18, 20, 22, 24, 32, 40, 64, 0xFFFE, 0xFFFF])
sizes = st.one_of(
    st.integers(0, 64), st.sampled_from([0x7FFFFFFF, 1 << 31, 0xFFFFFFF0, 0xFFFFFFFF]), st.integers(0, 0xFFFFFFFF)
)
rates = st.one_of(st.sampled_from([999, 1000, 8000, 22050, 44100, 48000, 384_000, 384_001]), sizes)


@st.composite
def formats(draw: st.DrawFn) -> bytes:
    """Draw a format chunk that is consistent, whatever it says."""
    tag, bits = draw(st.one_of(st.sampled_from([(1, 16), (1, 24), (3, 32)]), st.tuples(numbers, numbers)))
    channels, rate = draw(st.one_of(st.integers(1, 2), numbers)), draw(rates)
    wide = draw(st.booleans())
    tail = draw(st.one_of(st.just(b""), st.just(bytes(2)), st.binary(max_size=24)))
    if wide:
        valid = draw(st.one_of(st.just(bits), numbers))
        tail = struct.pack("<HHIH", 22, valid, draw(st.integers(0, 4)), tag) + GUID_TAIL
    sample_bytes = channels * bits // 8 & 0xFFFF
    body = struct.pack(
        "<HHIIHH", 0xFFFE if wide else tag, channels, rate, rate * sample_bytes & 0xFFFFFFFF, sample_bytes, bits
    )
    return chunk(b"fmt ", body + tail)


names = st.sampled_from(
    [b"fact", b"LIST", b"PEAK", b"bext", b"JUNK", b"PAD ", b"cue ", b"smpl", b"id3 ", b"RIFF", b"WAVE", b"acid"]
)
texts = st.lists(
    st.builds(
        chunk, st.one_of(st.sampled_from(TEXT_NAMES), st.binary(min_size=4, max_size=4)), st.binary(max_size=12)
    ),
    max_size=3,
)
lists = texts.map(lambda texts: chunk(b"LIST", b"INFO" + b"".join(texts)))
chunks = lists | st.builds(chunk, st.one_of(names, st.binary(min_size=4, max_size=4)), st.binary(max_size=24))
extras = st.lists(chunks, max_size=2).map(b"".join)
damages = st.lists(
    st.one_of(
        st.tuples(st.just("byte"), st.integers(0, 120), st.integers(0, 255)),
        st.tuples(st.just("size"), st.integers(0, 120), sizes),
        st.tuples(st.just("cut"), st.integers(0, 400), st.just(0)),
        st.tuples(st.just("insert"), st.integers(0, 120), st.integers(1, 4)),
        st.tuples(st.just("remove"), st.integers(0, 120), st.integers(1, 4)),
        st.tuples(st.just("repeat"), st.integers(0, 120), st.integers(1, 60)),
    ),
    max_size=3,
)


def damaged(data: bytes, how: str, at: int, value: int) -> bytes:
    """Damage a file in one place."""
    at = min(at, len(data))
    if how == "byte":
        return patched(data, at, bytes([value]))
    if how == "size":
        return patched(data, at, struct.pack("<I", value))
    if how == "cut":
        return data[:at]
    if how == "insert":
        return data[:at] + bytes(value) + data[at:]
    return data[:at] + (data[at + value :] if how == "remove" else data[at : at + value] + data[at:])


@pytest.fixture(scope="module")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for libsndfile to look for resource forks in."""
    return tmp_path_factory.mktemp("empty")


@settings(max_examples=150)
@example(formats=chunk(b"fmt ", form()[8:]), before=b"", between=b"", after=b"", values=BODY, damage=[], mend=True)
@given(
    formats=formats(),
    before=extras,
    between=extras,
    after=extras,
    values=st.binary(min_size=1, max_size=60).map(lambda values: 4 * values),
    damage=damages,
    mend=st.booleans(),
)
def test_whatever_a_header_says_samples_are_libsndfiles(
    empty_folder: Path,
    formats: bytes,
    before: bytes,
    between: bytes,
    after: bytes,
    values: bytes,
    damage: list[tuple[str, int, int]],
    mend: bool,
) -> None:
    """For any formats, chunks and damages: libsndfile's header and sample bits, or nothing; from bytes or memory."""
    data = riff(before, formats, between, chunk(b"data", values), after)
    for how, at, value in damage:
        data = damaged(data, how, at, value)
    if mend and len(data) > 8:
        data = patched(data, 4, struct.pack("<I", len(data) - 8))
    with contextlib.chdir(empty_folder):
        read = assert_libsndfile_agrees(data)
        assert assert_libsndfile_agrees(memoryview(bytearray(data))) == read
