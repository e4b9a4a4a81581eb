"""Engines: ours and librosa's behind one signature, and the versions that decide their bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
from audio_files import make_audio, make_samples
from librosa_reference import assert_agrees, load

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError, ConfigError
from us8k_batch.features.audio import Header
from us8k_batch.features.engine import Features, make_engine, numeric_versions
from us8k_batch.features.pooling import pool

ENGINES = ("auto", "librosa")

CLIPS = {
    "stereo": make_audio(sample_rate=44100, channels=2, seconds=1.0),
    "24-bit": make_audio(sample_rate=48000, channels=2, subtype="PCM_24"),
    "ogg": make_audio(sample_rate=44100, format="OGG"),
    "mp3": make_audio(sample_rate=44100, format="MP3"),
    "gsm": make_audio(subtype="GSM610"),
    "short": make_audio(n_samples=100),
    "one sample": make_audio(n_samples=1, sample_rate=44100),
    "silent": make_audio(np.zeros(8000)),
    "empty": make_audio(n_samples=0),
    "long": make_audio(seconds=3.0),
    "rubbish": b"rubbish",
    "cut flac": make_audio(format="FLAC")[:3000],
    "nan": make_audio(np.array([0.5, np.nan, 0.5]), subtype="FLOAT"),
    "huge": make_audio(1e25 * make_samples(), subtype="FLOAT"),
}


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("res_type", ["soxr_hq", "kaiser_fast"])
@pytest.mark.parametrize("clip", CLIPS)
def test_the_engines_agree(clip: str, res_type: str, truncate: bool) -> None:
    """Whatever the clip, both engines give the same features, or fail with the same stage and error."""
    config = FeatureConfig(max_seconds=2.0, res_type=res_type, truncate=truncate)
    outcomes: list[Features | tuple[str, str]] = []
    for name in ENGINES:
        try:
            outcomes.append(make_engine(config, name)(CLIPS[clip]))
        except ClipError as error:
            outcomes.append((error.stage, error.error))
    ours, theirs = outcomes
    if isinstance(ours, tuple) or isinstance(theirs, tuple):
        assert ours == theirs
    else:
        assert_agrees(ours.mfcc, theirs.mfcc)
        assert ours.duration == theirs.duration


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("res_type", ["soxr_hq", "kaiser_fast"])
def test_real_clips_give_librosas_numbers(name: str, res_type: str, real_clips: list[Path]) -> None:
    """From bytes to features, every engine agrees with the tutorial's two calls; librosa's to the bit."""
    config = FeatureConfig(max_seconds=30.0, res_type=res_type)
    engine = make_engine(config, name)
    for path in real_clips:
        theirs = librosa.feature.mfcc(y=load(path, config), sr=22050, n_mfcc=40)
        ours = engine(path.read_bytes()).mfcc
        assert_agrees(ours, theirs)
        assert name == "auto" or np.array_equal(ours, theirs)


@pytest.mark.parametrize("name", ENGINES)
def test_a_result_is_complete(name: str) -> None:
    """Frames are float32 and contiguous, pooled is of exactly those frames, times and duration are there."""
    config = FeatureConfig(max_seconds=2.0, statistics=("max", "mean"))
    told: list[Header] = []
    features = make_engine(config, name, told.append)(CLIPS["stereo"])
    assert features.mfcc.dtype == features.pooled.dtype == np.float32
    assert features.mfcc.flags.c_contiguous
    assert features.mfcc.shape == (40, features.n_frames) == (40, 44)
    assert np.array_equal(features.pooled, pool(features.mfcc, config.statistics))
    assert features.duration == 1.0
    assert set(features.seconds) == {"decode", "compute"}
    assert min(features.seconds.values()) > 0
    assert told == [Header("WAV", "PCM_16", 44100, 2, 44100)]


def test_the_librosa_engine_follows_every_parameter() -> None:
    """A configuration other than the default, top_db included, reaches librosa."""
    config = FeatureConfig(
        max_seconds=2.0, sample_rate=16000, n_fft=401, hop_length=160, n_mels=33, n_mfcc=13, fmin=50.0,
        fmax=7000.0, top_db=30.0,
    )  # fmt: skip
    ours, theirs = (make_engine(config, name)(CLIPS["stereo"]) for name in ENGINES)
    assert_agrees(ours.mfcc, theirs.mfcc)


def test_an_unknown_engine() -> None:
    """An engine that does not exist is a bad request, and the message names those that do."""
    for ask in (make_engine, numeric_versions):
        with pytest.raises(ConfigError, match="'fast': expected one of auto, librosa"):
            ask(FeatureConfig(), "fast")


def test_the_versions_are_those_that_decide_the_bits() -> None:
    """The resampler in use is named, and librosa only where it computes."""
    common = {"engine", "numpy", "soundfile", "libsndfile"}
    soxr = numeric_versions(FeatureConfig(), "auto")
    assert set(soxr) == {*common, "soxr", "numba", "llvmlite"}
    assert set(numeric_versions(FeatureConfig(res_type="kaiser_fast"), "auto")) == {
        *common, "resampy", "numba", "llvmlite"
    }  # fmt: skip
    plain = numeric_versions(FeatureConfig(n_fft=400, hop_length=160), "auto")
    assert set(plain) == {*common, "soxr"}
    reference = numeric_versions(FeatureConfig(), "librosa")
    assert set(reference) == {*common, "soxr", "librosa", "scipy"}
    assert len({versions["engine"] for versions in (soxr, plain, reference)}) == 3
    assert all(soxr.values())


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """Naming versions imports nothing, and our plain engine with soxr neither librosa nor numba nor scipy."""
    program = """
import json, sys
from us8k_batch.config import FeatureConfig
from us8k_batch.features.engine import make_engine, numeric_versions
for name in ("auto", "librosa"):
    numeric_versions(FeatureConfig(), name)
make_engine(FeatureConfig(n_fft=400, hop_length=160), "auto")
print(json.dumps([name for name in ("librosa", "numba", "scipy", "resampy", "dask") if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
