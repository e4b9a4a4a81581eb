"""FeatureConfig: what is computed, validated, and the fingerprint that names it."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from us8k_batch.errors import ConfigError

RES_TYPES = (
    "soxr_vhq", "soxr_hq", "soxr_mq", "soxr_lq", "soxr_qq", "kaiser_best", "kaiser_fast",
)  # fmt: skip
STATISTICS = ("mean", "std", "min", "max", "median")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureConfig:
    """What is computed. Changing a field changes every result, so it is part of the fingerprint."""

    sample_rate: int = 22050
    """Rate that every clip is resampled to, in Hz."""
    mono: bool = True
    """Average the channels before resampling; the only mode of format 1."""
    res_type: str = "soxr_hq"
    """Resampler, by librosa's name: ``soxr_hq`` is librosa's default, ``kaiser_fast`` the tutorial's."""
    n_mfcc: int = 40
    """Number of coefficients kept."""
    n_fft: int = 2048
    """Length of one analysis window, in samples at `sample_rate`."""
    hop_length: int = 512
    """Distance between frame starts, in samples at `sample_rate`."""
    n_mels: int = 128
    """Number of mel bands between `fmin` and `fmax`."""
    fmin: float = 0.0
    """Lowest frequency of the mel bands, in Hz."""
    fmax: float | None = None
    """Highest frequency of the mel bands, in Hz; None means half of `sample_rate`."""
    top_db: float = 80.0
    """Values more than this many dB below a clip's loudest band are raised to that floor."""
    truncate: bool = False
    """Cut clips at `max_seconds`; otherwise a longer clip fails as ``too_long``."""
    statistics: tuple[str, ...] = ("mean", "std")
    """Statistics over a clip's frames, in the order of the pooled vector; ``std`` is the population's."""
    max_seconds: float | None = None
    """Longest clip that the store has room for, in seconds; None means: measure when the store is created."""

    def __post_init__(self) -> None:
        """Refuse what cannot be computed, naming the field, its value and what was expected."""
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name))
        nyquist = self.sample_rate / 2
        rules = (
            ("sample_rate", 1000 <= self.sample_rate <= 384_000, "1000 to 384000 Hz"),
            ("mono", self.mono, "true: format 1 stores one channel"),
            ("res_type", self.res_type in RES_TYPES, "one of " + ", ".join(RES_TYPES)),
            ("n_fft", 16 <= self.n_fft <= 65536, "16 to 65536 samples"),
            ("hop_length", 1 <= self.hop_length <= 65536, "1 to 65536 samples"),
            ("n_mels", 1 <= self.n_mels <= 1024, "1 to 1024"),
            ("n_mfcc", 1 <= self.n_mfcc <= self.n_mels, f"1 to n_mels ({self.n_mels})"),
            ("fmin", 0 <= self.fmin < nyquist, f"0 to below {nyquist:g} Hz"),
            ("fmax", self.fmax is None or self.fmin < self.fmax <= nyquist,
             f"above fmin ({self.fmin:g}) and at most {nyquist:g} Hz"),
            ("top_db", 0 < self.top_db <= 400, "above 0, at most 400 dB"),
            ("max_seconds", self.max_seconds is None or 0 < self.max_seconds <= 86_400,
             "above 0, at most 86400 s"),
            ("statistics", 0 < len(self.statistics) == len(set(self.statistics))
             and set(self.statistics) <= set(STATISTICS), "each once, out of " + ", ".join(STATISTICS)),
        )  # fmt: skip
        for name, holds, expected in rules:
            if not holds:
                raise ConfigError(f"{name} = {getattr(self, name)!r}: expected {expected}")

    @property
    def frames(self) -> int:
        """Number of frames that the longest clip can have."""
        # One sample more, because librosa's ceil(n * ratio) may be one too many by rounding.
        return self.frames_of(self.max_samples + 1)

    def frames_of(self, n_samples: int) -> int:
        """Return the number of frames that so many samples at `sample_rate` have, at least one sample."""
        return 1 + (n_samples - self.n_fft % 2) // self.hop_length

    @property
    def max_samples(self) -> int:
        """Number of samples at `sample_rate` that a clip of `max_seconds` has."""
        if self.max_seconds is None:
            raise ConfigError("max_seconds is not known yet: it is fixed when a store is created")
        return math.ceil(self.max_seconds * self.sample_rate)

    @property
    def pooled_names(self) -> list[str]:
        """Names of the pooled vector's columns: ``mfcc_mean_00`` to, say, ``mfcc_std_39``."""
        return [f"mfcc_{name}_{i:02d}" for name in self.statistics for i in range(self.n_mfcc)]

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of all fields; two stores with the same one hold comparable numbers."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "statistics": list(self.statistics)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from JSON or TOML values; refuse unknown names, naming the known ones."""
        known = {field.name: field for field in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"unknown feature parameter {', '.join(unknown)}: known are {', '.join(known)}")
        return cls(**{name: _coerce(name, value) for name, value in values.items()})

    @classmethod
    def from_options(cls, file: str | None = None, assignments: Iterable[str] = ()) -> Self:
        """Build from a TOML file and ``key=value`` assignments; the assignments win.

        Raises
        ------
        ConfigError
            If the file cannot be read, or a name or value is not valid.
        """
        return cls.from_dict(read_options(file, assignments))

    def with_max_seconds(self, seconds: float) -> Self:
        """Return the same configuration with room for clips of this many seconds."""
        return replace(self, max_seconds=seconds)

    def differences(self, other: Self) -> list[str]:
        """Name every field in which `other` differs, with both values."""
        return [
            f"{field.name} is {getattr(self, field.name)!r}, but {getattr(other, field.name)!r} was asked for"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


def read_options(file: str | None = None, assignments: Iterable[str] = ()) -> dict[str, Any]:
    """Read the feature parameters that were asked for, by name.

    Raises
    ------
    ConfigError
        If the file cannot be read, or an assignment is not ``key=value``.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values.update(tomllib.loads(Path(file).read_text()))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{file}: {error}; expected a TOML file of feature parameters") from error
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: expected key=value, such as n_mfcc=20")
        values[name.strip()] = _parse(text.strip())
    return values


_INTEGERS = ("sample_rate", "n_mfcc", "n_fft", "hop_length", "n_mels")
_NUMBERS = ("fmin", "fmax", "top_db", "max_seconds")
_FLAGS = ("mono", "truncate")
_LARGEST = 1 << 53
"""Whole numbers beyond it are refused before anything is computed with them."""


def _check_type(name: str, value: object) -> None:
    if name in _INTEGERS:
        ok = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
        expected = "a whole number"
    elif name in _NUMBERS:
        optional = value is None and name in ("fmax", "max_seconds")
        ok = optional or (isinstance(value, float) and math.isfinite(value))
        expected = "a finite number"
    elif name in _FLAGS:
        ok, expected = isinstance(value, bool), "true or false"
    elif name == "statistics":
        ok = isinstance(value, tuple) and all(isinstance(item, str) for item in value)
        expected = "a list of names"
    else:
        ok, expected = isinstance(value, str), "a name"
    if not ok:
        raise ConfigError(f"{name} = {value!r}: expected {expected}")


def _coerce(name: str, value: Any) -> Any:
    if name in _NUMBERS and isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return float(value)
    if name == "statistics" and isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    if name == "statistics" and isinstance(value, list):
        return tuple(value)
    return value


def _parse(text: str) -> Any:
    """Read a command-line value as TOML would, and as plain text otherwise."""
    if text.lower() in ("null", "none"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
