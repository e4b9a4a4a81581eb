"""FeatureConfig: what it refuses, what names it, and how much room a clip gets."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.config import STATISTICS, FeatureConfig
from us8k_batch.errors import ConfigError

OTHER: dict[str, Any] = {
    "sample_rate": 16000,
    "res_type": "kaiser_fast",
    "n_mfcc": 20,
    "n_fft": 1024,
    "hop_length": 256,
    "n_mels": 64,
    "fmin": 20.0,
    "fmax": 8000.0,
    "top_db": 60.0,
    "truncate": True,
    "statistics": ("mean",),
    "max_seconds": 4.0,
}
"""Another valid value for every field that has one."""

WRONG: list[tuple[str, Any]] = [
    ("sample_rate", 999), ("sample_rate", 384_001), ("sample_rate", 22050.0), ("sample_rate", True),
    ("mono", False), ("mono", 1), ("res_type", "linear"), ("res_type", 1), ("n_mfcc", 0), ("n_mfcc", 129),
    ("n_fft", 15), ("n_fft", 65537), ("hop_length", 0), ("hop_length", "512"), ("n_mels", 0), ("n_mels", 1025),
    ("fmin", -1.0), ("fmin", 11025.0), ("fmin", math.nan), ("fmax", 0.0), ("fmax", 11026.0), ("fmax", math.inf),
    ("top_db", 0.0), ("top_db", 401.0), ("truncate", "yes"), ("statistics", ()), ("statistics", ("mean", "mean")),
    ("statistics", ("mode",)), ("statistics", "mean"), ("statistics", (1,)), ("max_seconds", 0.0),
    ("max_seconds", 86_401.0), ("max_seconds", "4"),
]  # fmt: skip


def test_the_defaults_are_the_tutorials() -> None:
    """Without being told otherwise, it is the tutorial's analysis with librosa's default resampler."""
    config = FeatureConfig()
    assert (config.sample_rate, config.n_mfcc, config.res_type) == (22050, 40, "soxr_hq")
    assert config.statistics == ("mean", "std")
    assert config.max_seconds is None


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_cannot_be_computed_is_refused(name: str, value: Any) -> None:
    """A value out of range or of another type is refused; the message has field, value and expectation."""
    with pytest.raises(ConfigError) as caught:
        FeatureConfig(**{name: value})
    assert f"{name} = {value!r}: expected" in str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("name", [field.name for field in fields(FeatureConfig) if field.name != "mono"])
def test_every_field_changes_the_fingerprint(name: str) -> None:
    """Two configurations with one fingerprint compute the same; mono has only one value."""
    config = FeatureConfig()
    other = replace(config, **{name: OTHER[name]})
    assert other.fingerprint != config.fingerprint
    assert config.differences(other) == [f"{name} is {getattr(config, name)!r}, but {OTHER[name]!r} was asked for"]


def test_the_fingerprint_is_stable() -> None:
    """Equal configurations have equal fingerprints, however they were made, and in every release of format 1."""
    config = FeatureConfig(max_seconds=4.0)
    assert FeatureConfig.from_dict({"max_seconds": 4}).fingerprint == config.fingerprint
    assert pickle.loads(pickle.dumps(config)).fingerprint == config.fingerprint  # noqa: S301
    assert config.fingerprint == "0700dab2c01a947174bfe43af2310935318abc541b88dc2c64ed4a8ee6ebc26e"


@given(st.sets(st.sampled_from(sorted(OTHER))))
def test_a_configuration_survives_json(names: set[str]) -> None:
    """What is written to a store is read back as the same configuration."""
    config = FeatureConfig(**{name: OTHER[name] for name in names})
    assert FeatureConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_names_are_refused() -> None:
    """A typo is refused, and the message lists the names that exist."""
    with pytest.raises(ConfigError, match=r"unknown feature parameter n_mfc: known are .*n_mfcc"):
        FeatureConfig.from_dict({"n_mfc": 20})
    with pytest.raises(ConfigError, match="unknown"):
        FeatureConfig.from_options(assignments=["hop=1"])


def test_assignments_win_over_the_file(tmp_path: Path) -> None:
    """A TOML file is read, and ``--set`` has the last word; whole numbers will do for fractions."""
    file = tmp_path / "features.toml"
    file.write_text('n_mfcc = 13\nfmin = 20\nstatistics = ["mean"]\n')
    config = FeatureConfig.from_options(str(file), ["n_mfcc=20", "res_type = kaiser_fast", "fmax=8000"])
    assert (config.n_mfcc, config.fmin, config.fmax, config.res_type) == (20, 20.0, 8000.0, "kaiser_fast")
    assert config.statistics == ("mean",)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("truncate=true", "truncate", True),
        ("statistics=std,mean", "statistics", ("std", "mean")),
        ('statistics=["median"]', "statistics", ("median",)),
        ("fmax=none", "fmax", None),
        ("max_seconds=null", "max_seconds", None),
        ("max_seconds=4", "max_seconds", 4.0),
    ],
)
def test_values_from_a_command_line(text: str, name: str, value: Any) -> None:
    """Command-line values mean what a person would expect."""
    assert getattr(FeatureConfig.from_options(assignments=[text]), name) == value


@pytest.mark.parametrize("content", [None, b"n_mfcc = ", b"\xff\xfe"])
def test_a_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    """A missing or broken file is named."""
    file = tmp_path / "features.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"features\.toml.*expected a TOML file"):
        FeatureConfig.from_options(str(file))


def test_an_assignment_without_a_value() -> None:
    """An assignment without an equals sign is refused with an example."""
    with pytest.raises(ConfigError, match=r"--set n_mfcc: expected key=value"):
        FeatureConfig.from_options(assignments=["n_mfcc"])


def test_every_statistic_has_a_name() -> None:
    """All statistics can be asked for at once, and every value of the vector has its own name."""
    names = FeatureConfig(n_mfcc=3, statistics=STATISTICS).pooled_names
    assert len(set(names)) == 3 * len(STATISTICS)


def test_room_for_the_longest_clip() -> None:
    """Four seconds are 173 frames; without max_seconds there is no answer, and the message says why."""
    assert FeatureConfig().with_max_seconds(4.0).frames == 173
    with pytest.raises(ConfigError, match="fixed when a store is created"):
        _ = FeatureConfig().frames


@given(n_samples=st.integers(1, 3000), n_fft=st.integers(16, 200), hop=st.integers(1, 300))
def test_the_number_of_frames_is_librosas(n_samples: int, n_fft: int, hop: int) -> None:
    """Librosa's centred frames are counted right for odd windows and long hops too."""
    config = FeatureConfig(n_fft=n_fft, hop_length=hop)
    padded = np.zeros(n_samples + 2 * (n_fft // 2))
    assert config.frames_of(n_samples) == librosa.util.frame(
        padded, frame_length=n_fft, hop_length=hop
    ).shape[-1]  # fmt: skip
