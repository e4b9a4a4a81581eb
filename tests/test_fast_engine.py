"""The fast engine: librosa's numbers for whatever it claims, whatever came before, and nothing left behind."""

from __future__ import annotations

import logging
import mmap
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from audio_files import make_audio, make_samples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from librosa_reference import assert_agrees
from numpy.typing import NDArray

from us8k_batch.audio.opening import FileBytes
from us8k_batch.config import RES_TYPES, FeatureConfig
from us8k_batch.errors import ClipError
from us8k_batch.features.audio import Header
from us8k_batch.features.engine import REVISIONS, Engine, Features, make_engine
from us8k_batch.features.fast.claims import why_not
from us8k_batch.features.fast.engine import FastEngine
from us8k_batch.features.process import ENVIRONMENT

CONFIG = FeatureConfig(max_seconds=30.0)
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT", "PCM_U8", "PCM_32", "ULAW")
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 44101, 48000, 96000)


def make_fast(config: FeatureConfig = CONFIG, told: list[Header] | None = None) -> Engine:
    """Make the engine that is chosen by itself, which must be the fast one."""
    engine = make_engine(config, "auto", None if told is None else told.append)
    assert isinstance(engine, FastEngine)
    return engine


def make_alone(config: FeatureConfig = CONFIG) -> Engine:
    """Make a fast engine that hands no clip over."""

    def refuse(_data: FileBytes) -> Features:
        raise AssertionError("handed over")

    return FastEngine(config, lambda _header: None, plain=refuse)


def outcome(engine: Engine, data: FileBytes) -> Features | tuple[str, str, str]:
    """Compute, or tell how it fails."""
    try:
        return engine(data)
    except ClipError as error:
        return error.stage, error.error, str(error)


# --- librosa's numbers ---


@st.composite
def claimed(draw: st.DrawFn) -> FeatureConfig:
    """Any configuration that the fast engine claims."""
    rate = draw(st.sampled_from([4000, 8000, 16000, 22050, 22050, 44100, 48000]))
    n_fft = 2 ** draw(st.integers(9, 14))
    n_mels = draw(st.integers(1, 160))
    config = FeatureConfig(
        sample_rate=rate,
        res_type=draw(st.sampled_from(["soxr_hq", "kaiser_fast", *RES_TYPES])),
        n_fft=n_fft,
        hop_length=draw(st.integers(20, n_fft)),
        n_mels=n_mels,
        n_mfcc=draw(st.integers(1, n_mels)),
        fmin=draw(st.just(0.0) | st.floats(0, 300)),
        fmax=draw(st.none() | st.floats(min(rate / 2, 2000), rate / 2)),
        top_db=draw(st.sampled_from([80.0, 80.0, 40.0, 1.0])),
    )
    assert why_not(config) is None
    return config


def make_kind(kind: str, n_samples: int, rate: int, seed: int) -> NDArray[np.float32]:
    """Make one of the sounds that an approximation can go wrong on, shape (n_samples, 2)."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples)[:, np.newaxis]
    noise = 0.2 * rng.standard_normal((n_samples, 2))
    signal = {
        "chord": make_samples(n_samples=n_samples, sample_rate=rate, channels=2, seed=seed),
        "noise": noise,
        "quiet": 1e-4 * noise,
        "fading": noise * np.exp(-time / 800),
        "click": (time == n_samples // 2) * np.ones(2),
        "silence": np.zeros((n_samples, 2)),
        "hum": 0.7 * np.sin(2 * np.pi * 50 / rate * time) + 1e-3 * noise,
        "offset": 0.5 + 1e-3 * noise,
    }[kind]
    return signal.clip(-1, 1).astype(np.float32)


@settings(max_examples=60, derandomize=True)
@given(
    config=claimed(),
    kind=st.sampled_from(["chord", "noise", "quiet", "fading", "click", "silence", "hum", "offset"]),
    n_samples=st.integers(1, 30) | st.integers(1, 40_000),
    rate=st.sampled_from(RATES),
    double=st.booleans(),
    channels=st.sampled_from([1, 2, 2, 3]),
    subtype=st.sampled_from(SUBTYPES),
    seed=st.integers(0, 99),
)
@example(FeatureConfig(), "chord", 176_400, 44100, False, 2, "PCM_16", 0)
@example(FeatureConfig(res_type="kaiser_fast"), "chord", 176_400, 44100, False, 2, "PCM_16", 0)
@example(FeatureConfig(fmin=300.0), "hum", 40_000, 44100, False, 1, "FLOAT", 0)
@example(FeatureConfig(fmin=300.0), "offset", 40_000, 44100, False, 1, "FLOAT", 0)
def test_whatever_it_claims_gives_librosas_numbers(
    config: FeatureConfig,
    kind: str,
    n_samples: int,
    rate: int,
    double: bool,
    channels: int,
    subtype: str,
    seed: int,
) -> None:
    """For any claimed configuration, and any format, rate, length and sound, the features are librosa's."""
    rate = 2 * config.sample_rate if double else rate
    samples = make_kind(kind, n_samples, rate, seed)[:, [0, 1, 0][:channels]]
    data = make_audio(samples, sample_rate=rate, subtype=subtype)
    ours, theirs = outcome(make_fast(config), data), outcome(make_engine(config, "librosa"), data)
    if isinstance(ours, tuple) or isinstance(theirs, tuple):
        assert ours == theirs
    else:
        assert_agrees(ours.mfcc, theirs.mfcc)
        assert ours.duration == theirs.duration


def test_only_frames_that_are_there_decide_the_floor() -> None:
    """A click after the last frame's window, which only a frame beyond it would see, does not raise the floor."""
    config = FeatureConfig(hop_length=2048, top_db=20.0)
    samples = make_samples(n_samples=5 * 2048 - 1, sample_rate=22050)[:, 0] * np.float32(0.01)
    samples[-1] = 0.9
    data = make_audio(samples, sample_rate=22050, subtype="FLOAT")
    assert_agrees(make_fast(config)(data).mfcc, make_engine(config, "librosa")(data).mfcc)


@pytest.mark.parametrize("res_type", ["soxr_hq", "kaiser_fast"])
def test_no_real_clip_is_handed_over(res_type: str, real_clips: list[Path]) -> None:
    """Real clips are computed by the kernel itself; that it agrees with librosa is a promise of every engine."""
    engine = make_alone(FeatureConfig(max_seconds=30.0, res_type=res_type))
    for path in real_clips:
        engine(path.read_bytes())


def beside_noise(kind: str, hertz: float, below: float, loud: float, rate: int, seed: int) -> bytes:
    """Make one second of a sound and white noise so many dB below it."""
    rng = np.random.default_rng(seed)
    time = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * hertz * time)
    sound = {
        "tone": tone,
        "tones": tone / 2 + np.sin(2 * np.pi * 0.7 * hertz * time) / 2,
        "chirp": np.sin(2 * np.pi * hertz * (0.6 * time + 0.2 * time**2)),
        "trill": tone * (0.5 + 0.5 * np.sin(2 * np.pi * 12 * time)),
        "bursts": tone * (time % 0.25 < 0.1),
    }[kind]
    return make_audio(loud * (sound + 10 ** (-below / 20) * rng.standard_normal(rate)), sample_rate=rate)


@settings(max_examples=100, derandomize=True)
@given(
    kind=st.sampled_from(["tone", "tones", "chirp", "trill", "bursts"]),
    share=st.floats(0, 1),
    below=st.floats(40, 90),
    loud=st.sampled_from([0.03, 0.25, 0.9]),
    rate=st.sampled_from([22050, 44100, 44100, 48000, 96000, 16000, 8000]),
    res_type=st.sampled_from(["soxr_hq", "kaiser_fast"]),
    seed=st.integers(0, 99),
)
@example("tone", 0.98, 60.0, 0.25, 44100, "soxr_hq", 1)  # 0.005 by the kernel
@example("tone", 0.99, 90.0, 0.9, 44100, "kaiser_fast", 1)  # 0.04
@example("tone", 0.98, 65.0, 0.9, 22050, "soxr_hq", 1)
def test_weak_bands_beside_a_loud_one(
    kind: str, share: float, below: float, loud: float, rate: int, res_type: str, seed: int
) -> None:
    """A whistle or a bird's call of 1 to 10.4 kHz in any quiet room is within 1e-3 of librosa, at any rate."""
    hertz = 1000 + share * (min(10_400, rate / 2 - 250) - 1000)
    data = beside_noise(kind, hertz, below, loud, rate, seed)
    config = FeatureConfig(res_type=res_type)
    assert np.abs(make_fast(config)(data).mfcc - make_engine(config, "librosa")(data).mfcc).max() <= 1e-3


def test_only_bands_above_the_floor_are_weak() -> None:
    """Steps of rounding, noise close by, silence, and bands that will be at the floor cost no second computation."""
    engine = make_alone()
    for below in (20.0, 35.0, 95.0):
        engine(beside_noise("tone", 3000.0, below, 0.9, 44100, seed=0))
    for kind in ("chord", "noise", "quiet", "silence", "click"):
        engine(make_audio(make_kind(kind, 40_000, 44100, seed=0), sample_rate=44100))


# --- nothing is left behind by earlier clips ---

CLIPS = {
    "four seconds": make_audio(sample_rate=44100, channels=2, seconds=4.0),
    "one sample": make_audio(sample_rate=44100, n_samples=1),
    "short": make_audio(sample_rate=44100, n_samples=1000, seed=1),
    "48 kHz": make_audio(sample_rate=48000, channels=2, subtype="PCM_24", seed=2),
    "11 kHz": make_audio(sample_rate=11025, subtype="FLOAT", seed=3),
    "own rate": make_audio(sample_rate=22050, seconds=1.3, seed=4),
    "flac": make_audio(sample_rate=44100, format="FLAC", channels=2, seed=5),
    "six channels": make_audio(sample_rate=44100, channels=6, seed=6),
    "nan": make_audio(np.full(50_000, np.nan), sample_rate=44100, subtype="FLOAT"),
    "infinity": make_audio(np.full(9000, np.inf), sample_rate=22050, subtype="FLOAT"),
    "huge": make_audio(np.full(9000, 1e30), sample_rate=44100, subtype="FLOAT"),
    "rubbish": b"rubbish",
}


@pytest.mark.parametrize("res_type", ["soxr_hq", "kaiser_fast"])
def test_a_clip_does_not_depend_on_those_before_it(res_type: str) -> None:
    """After any clip, shorter, longer, not finite or broken, each clip has the bits that it has alone."""
    config = FeatureConfig(max_seconds=30.0, res_type=res_type)
    alone = {name: outcome(make_fast(config), data) for name, data in CLIPS.items()}
    engine = make_fast(config)
    for before in CLIPS.values():
        for name, data in CLIPS.items():
            outcome(engine, before)
            got, expected = outcome(engine, data), alone[name]
            if isinstance(got, Features) and isinstance(expected, Features):
                assert got.mfcc.tobytes() == expected.mfcc.tobytes()
                assert got.pooled.tobytes() == expected.pooled.tobytes()
            else:
                assert got == expected


def test_a_result_belongs_to_the_caller() -> None:
    """The next clip does not write into the features of the last one."""
    engine = make_fast()
    first = engine(CLIPS["four seconds"])
    before = first.mfcc.copy()
    engine(CLIPS["own rate"])
    engine(CLIPS["four seconds"])
    assert np.array_equal(first.mfcc, before)


def test_several_threads_give_the_bits_of_one() -> None:
    """Two threads, each with an engine of its own, give the same bits as one."""
    data = [CLIPS[name] for name in ("four seconds", "short", "48 kHz", "own rate", "flac")]
    expected = [make_fast()(clip).mfcc.tobytes() for clip in data]

    def compute(_: int) -> None:
        engine = make_fast()
        for _ in range(10):
            assert [engine(clip).mfcc.tobytes() for clip in data] == expected

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(compute, range(4)))


def test_the_kernel_lets_other_threads_run() -> None:
    """While a long clip is computed, another thread makes progress."""
    engine = make_fast(FeatureConfig(max_seconds=600.0))
    data = make_audio(np.zeros(600 * 22050), sample_rate=22050)
    engine(data)
    times: list[float] = []

    def compute() -> None:
        times.append(time.perf_counter())
        features = engine(data)
        times.append(times[0] + features.seconds["compute"])

    thread = threading.Thread(target=compute)
    ticks: list[float] = []
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
    start, stop = times
    quarter = (stop - start) / 4
    assert any(start + quarter < tick < stop - 2 * quarter for tick in ticks)


def test_clips_cost_no_new_memory(tmp_path: Path) -> None:
    """Under the settings of a decoder child, hundreds of clips cause next to no page fault after the first ones."""
    program = """
import resource, sys
from pathlib import Path
from us8k_batch.config import FeatureConfig
from us8k_batch.features.engine import make_engine
engine = make_engine(FeatureConfig(max_seconds=30.0), "auto")
clips = [path.read_bytes() for path in Path(sys.argv[1]).iterdir()]
def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        for clip in clips:
            engine(clip)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(20)
print(faults(100))
"""
    for name in ("four seconds", "short", "48 kHz", "own rate"):
        (tmp_path / name).write_bytes(CLIPS[name])
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **ENVIRONMENT})
    assert int(done.stdout) < 40


@pytest.mark.parametrize("side", ["before", "after"])
def test_no_kernel_leaves_its_arrays(side: str) -> None:
    """Between pages that kill whoever touches them, clips of any length under any configuration are computed."""
    program = Path(__file__).parent / "guarded_engine.py"
    subprocess.run([sys.executable, program, side, "0", "6"], check=True)


def test_one_compilation_serves_every_clip() -> None:
    """Whatever the clip, the configuration and the memory that the file lies in, the kernel takes it."""
    for res_type in RES_TYPES:
        engine = make_fast(FeatureConfig(max_seconds=30.0, res_type=res_type, n_mels=41))
        for data in CLIPS.values():
            outcome(engine, data)
            outcome(engine, memoryview(data))
            outcome(engine, memoryview(bytearray(data)))  # another layout would raise TypeError


# --- what it does not compute ---

REFUSED = {
    "n_fft = 1000 is not a power of two": {"n_fft": 1000},
    "n_fft = 256 is not between 512 and 16384": {"n_fft": 256, "hop_length": 100},
    "n_fft = 32768 is not between 512 and 16384": {"n_fft": 32768},
    "hop_length = 2049 leaves gaps between windows of 2048": {"hop_length": 2049},
    "top_db = 81 is above 80": {"top_db": 81.0},
    "fmin = 301 Hz is above 300": {"fmin": 301.0},
    "fmax = 1999 Hz is below 2000": {"fmax": 1999.0},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_it_refuses_is_computed_all_the_same(reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Any other configuration goes to the plain engine, which gives librosa's numbers, and the log says so."""
    config = FeatureConfig(max_seconds=30.0, **REFUSED[reason])
    with caplog.at_level(logging.INFO):
        engine = make_engine(config, "auto")
    assert not isinstance(engine, FastEngine)
    assert caplog.messages == [f"engine plain-{REVISIONS['plain']}: the fast engine does not compute this: {reason}"]
    theirs = make_engine(config, "librosa")(CLIPS["four seconds"])
    assert_agrees(engine(CLIPS["four seconds"]).mfcc, theirs.mfcc)


def test_the_log_names_the_engine(caplog: pytest.LogCaptureFixture) -> None:
    """With a configuration that it claims, the log names it, and gives no reason."""
    with caplog.at_level(logging.INFO):
        make_fast()
    assert f"engine fast-{REVISIONS['fast']}" in caplog.messages


@settings(max_examples=40, derandomize=True)
@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf, 1e12, 1e20, -1e25, 3e38]),
    place=st.floats(0, 1),
    n_samples=st.integers(1, 3000) | st.sampled_from([20_000, 131_150]),
    rate=st.sampled_from([22050, 44100, 48000, 11025]),
    channels=st.sampled_from([1, 2, 3]),
    res_type=st.sampled_from(["soxr_hq", "kaiser_fast"]),
    hop=st.sampled_from([(2048, 512), (512, 400), (512, 512)]),
)
@example(np.nan, 1.0, 131_150, 22050, 1, "soxr_hq", (512, 400))  # where no frame reaches
@example(np.nan, 0.0, 1, 44100, 1, "kaiser_fast", (2048, 512))  # of which resampy makes nothing
def test_what_is_not_usual_is_for_the_plain_engine(
    bad: float, place: float, n_samples: int, rate: int, channels: int, res_type: str, hop: tuple[int, int]
) -> None:
    """Wherever a number is NaN, infinite or huge, the result or the error is the plain engine's, word for word."""
    config = FeatureConfig(max_seconds=30.0, res_type=res_type, n_fft=hop[0], hop_length=hop[1], n_mels=40)
    samples = make_samples(n_samples=n_samples, channels=channels, sample_rate=rate)
    samples[round(place * (n_samples - 1)), 0] = bad
    data = make_audio(samples, sample_rate=rate, subtype="FLOAT")
    engine = make_fast(config)
    ours, theirs = outcome(engine, data), outcome(engine._plain, data)  # type: ignore[attr-defined]
    if isinstance(ours, Features) and isinstance(theirs, Features):
        assert np.array_equal(ours.mfcc, theirs.mfcc)
    else:
        assert ours == theirs


def test_power_that_no_band_holds_counts_too() -> None:
    """An offset too large for float32's power fails as in the plain engine, though it lies in no mel band."""
    data = make_audio(
        np.full(40_000, 1e17) + make_samples(n_samples=40_000)[:, 0], sample_rate=22050, subtype="DOUBLE"
    )
    engine = make_fast()
    assert outcome(engine, data) == outcome(engine._plain, data)  # type: ignore[attr-defined]


@pytest.mark.parametrize("clip", CLIPS)
def test_the_header_is_told_once(clip: str) -> None:
    """Each clip's header is told before it is decoded, and once, also if the clip is handed over."""
    told: list[Header] = []
    outcome(make_fast(told=told), CLIPS[clip])
    assert len(told) == (clip != "rubbish")


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("n_samples", [44099, 44100, 44101, 50000])
def test_the_longest_clip(n_samples: int, truncate: bool) -> None:
    """At the limit, beyond it and cut at it, features, duration and error are the plain engine's."""
    config = FeatureConfig(max_seconds=1.0, truncate=truncate)
    data = make_audio(sample_rate=44100, n_samples=n_samples, channels=2)
    engine = make_fast(config)
    ours, theirs = outcome(engine, data), outcome(engine._plain, data)  # type: ignore[attr-defined]
    if isinstance(ours, Features) and isinstance(theirs, Features):
        assert_agrees(ours.mfcc, theirs.mfcc)
        assert ours.duration == theirs.duration
    else:
        assert ours == theirs


def test_a_file_in_shared_memory() -> None:
    """A clip in a mapping, at any place in it, has the features of the same bytes."""
    expected = make_fast()(CLIPS["four seconds"]).mfcc
    data = CLIPS["four seconds"]
    for shift in range(4):
        room = mmap.mmap(-1, shift + len(data))
        room[shift:] = data
        assert np.array_equal(make_fast()(memoryview(room)[shift:]).mfcc, expected)
