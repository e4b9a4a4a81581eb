"""Ten kinds of sound, by UrbanSound8K's names, that differ audibly and vary from recording to recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

Signal = NDArray[np.float32]
Curve = NDArray[np.floating[Any]]
PERIOD = 8192
"""Samples of one period of a tone, from which it is read off; a power of two."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a sound is drawn on: its length, its rate, and where something must begin."""

    samples: int
    """Length, in samples."""
    rate: int
    """Samples per second, in Hz."""
    onsets: NDArray[np.int64]
    """Where clips will be cut, in samples; events begin shortly after."""

    @property
    def seconds(self) -> float:
        """Length, in seconds."""
        return self.samples / self.rate


def render(rng: Generator, class_id: int, canvas: Canvas, snr: float) -> Signal:
    """Draw one recording: a sound, perhaps another behind it, a background, all through one microphone.

    What is random here is drawn once per recording, so that its clips resemble one another more than those of other
    recordings of the class: the reason why a random split of clips leaks.

    Parameters
    ----------
    rng : Generator
        Source of all chance.
    class_id : int
        UrbanSound8K's number of the class, 0 to 9.
    canvas : Canvas
        Length, rate and onsets.
    snr : float
        Level of the sound above the background, in dB.

    Returns
    -------
    signal : float32 array, shape (canvas.samples,)
        Waveform in [-1, 1].
    """
    signal = _level(GENERATORS[class_id](rng, canvas))
    if rng.random() < 0.5:
        other = GENERATORS[int(rng.integers(len(GENERATORS)))](rng, canvas)
        signal += _level(other) * _decibel(-rng.uniform(6, 18))
    background = noise(rng, canvas, rng.uniform(20, 4000), rng.uniform(1, 5))
    signal += background * _decibel(-snr)
    signal = _microphone(rng, signal, canvas.rate)
    peak = max(float(np.abs(signal).max(initial=0)), 1e-6)
    return signal * np.float32(rng.uniform(0.1, 0.9) / peak)


def noise(rng: Generator, canvas: Canvas, centre: float, octaves: float) -> Signal:
    """Draw noise of unit level around a centre (Hz), a number of octaves wide at half of its height."""
    length = fft.next_fast_len(canvas.samples, real=True)
    # Uniform numbers are drawn faster than normal ones; summed by the transform, they become normal.
    pairs = rng.random((length // 2 + 1, 2), dtype=np.float32)
    pairs -= np.float32(0.5)
    spectrum = pairs.view(np.complex64)[:, 0]
    distance = np.arange(len(spectrum), dtype=np.float32)
    distance[0] = 1
    distance *= np.float32(canvas.rate / length / centre)
    np.log2(distance, out=distance)
    distance *= np.float32(2 / octaves)
    np.square(distance, out=distance)
    np.negative(distance, out=distance)
    spectrum *= np.exp2(distance, out=distance)
    return _level(fft.irfft(spectrum, length)[: canvas.samples])


def tone(frequency: float | Curve, canvas: Canvas, amplitudes: Curve) -> Signal:
    """Draw a tone of a steady or moving frequency (Hz); `amplitudes` are those of its harmonics, from the first."""
    highest = float(np.max(frequency))
    turns = np.arange(PERIOD) * (2 * np.pi / PERIOD)
    harmonics = [a * np.sin(k * turns) for k, a in enumerate(amplitudes, 1) if k * highest < canvas.rate / 2]
    period: Signal = sum(harmonics, start=np.zeros(PERIOD)).astype(np.float32)
    steps = np.broadcast_to(np.asarray(frequency) * (PERIOD / canvas.rate), canvas.samples)
    place = np.cumsum(steps).astype(np.int64) & (PERIOD - 1)
    signal: Signal = period[place]
    return signal


def bursts(canvas: Canvas, starts: Curve, attack: float, decay: float) -> Signal:
    """Draw an envelope that rises in `attack` and falls to a third in `decay` seconds after each start (s)."""
    envelope = np.zeros(canvas.samples, np.float32)
    length = max(int(6 * decay * canvas.rate), 2)
    times = np.arange(length, dtype=np.float32) / canvas.rate
    shape = np.minimum(times / max(attack, 1e-4), 1) * np.exp(-times / decay)
    for start in np.sort(starts):
        first = int(start * canvas.rate)
        part = envelope[first : first + length]
        np.maximum(part, shape[: len(part)], out=part)
    return envelope


def wander(rng: Generator, canvas: Canvas, every: float, low: float, high: float) -> Curve:
    """Draw a curve between two frequencies (Hz) that turns somewhere else every so many seconds."""
    knots = max(int(canvas.seconds / every), 1) + 2
    octaves = rng.uniform(np.log2(low), np.log2(high), knots)
    place = np.arange(canvas.samples) / (every * canvas.rate)
    return np.exp2(np.interp(place, np.arange(knots), octaves))


def _air_conditioner(rng: Generator, canvas: Canvas) -> Signal:
    hum = tone(rng.choice([50.0, 60.0]) * rng.integers(1, 4), canvas, 0.6 ** np.arange(6))
    return noise(rng, canvas, rng.uniform(120, 600), rng.uniform(1.5, 3.5)) + hum * np.float32(rng.uniform(0.2, 1.5))


def _car_horn(rng: Generator, canvas: Canvas) -> Signal:
    pitch = rng.uniform(280, 520)
    roll = rng.uniform(0.6, 0.9) ** np.arange(12)
    chord = tone(pitch, canvas, roll) + tone(pitch * rng.uniform(1.15, 1.4), canvas, roll)
    return chord * bursts(canvas, _repeats(rng, canvas, 0.4, 3.0), 0.01, rng.uniform(0.15, 0.8))


def _children_playing(rng: Generator, canvas: Canvas) -> Signal:
    low = rng.uniform(500, 1100)
    voices = np.zeros(canvas.samples, np.float32)
    for _ in range(3):
        voice = tone(wander(rng, canvas, 0.15, low, low * 2.2), canvas, 0.5 ** np.arange(4))
        voices += voice * bursts(canvas, _repeats(rng, canvas, 0.1, 1.2), 0.03, 0.12)
    return voices + noise(rng, canvas, 2 * low, 1.5) * np.float32(rng.uniform(0.05, 0.3))


def _dog_bark(rng: Generator, canvas: Canvas) -> Signal:
    pitch = rng.uniform(250, 900)
    starts = _repeats(rng, canvas, 0.25, 1.0)
    bark = tone(wander(rng, canvas, 0.08, pitch, pitch * 1.5), canvas, 0.75 ** np.arange(8))
    rough = noise(rng, canvas, 2.5 * pitch, 1.2) * np.float32(rng.uniform(0.3, 1.2))
    return (bark + rough) * bursts(canvas, starts, 0.008, rng.uniform(0.03, 0.09))


def _drilling(rng: Generator, canvas: Canvas) -> Signal:
    rattle = tone(rng.uniform(25, 70), canvas, 0.7 ** np.arange(5))
    grind = noise(rng, canvas, rng.uniform(1500, 4500), rng.uniform(0.7, 2))
    whine = tone(wander(rng, canvas, 0.7, 900, 1400) * rng.uniform(0.6, 1.8), canvas, 0.5 ** np.arange(4))
    rhythm: Signal = np.float32(0.5) * rattle + np.float32(1)
    return grind * rhythm + whine * np.float32(rng.uniform(0.1, 0.8))


def _engine_idling(rng: Generator, canvas: Canvas) -> Signal:
    pitch = rng.uniform(18, 45)
    harmonics = np.arange(1, 40)
    body = 1 / (1 + ((harmonics * pitch - rng.uniform(60, 250)) / rng.uniform(40, 150)) ** 2) + 0.3 / harmonics
    pulses = tone(wander(rng, canvas, 0.3, pitch * 0.97, pitch * 1.03), canvas, body)
    return pulses + noise(rng, canvas, rng.uniform(200, 900), 2) * np.float32(rng.uniform(0.1, 0.7))


def _gun_shot(rng: Generator, canvas: Canvas) -> Signal:
    starts = _repeats(rng, canvas, 0.8, 4.0)
    blast = noise(rng, canvas, rng.uniform(300, 2500), rng.uniform(2, 4))
    echo = bursts(canvas, starts + rng.uniform(0.05, 0.3), 0.002, rng.uniform(0.1, 0.5)) * np.float32(0.15)
    return blast * (bursts(canvas, starts, 0.001, rng.uniform(0.02, 0.15)) + echo)


def _jackhammer(rng: Generator, canvas: Canvas) -> Signal:
    every = 1 / rng.uniform(9, 20)
    starts = np.arange(0, canvas.seconds, every)
    blows = noise(rng, canvas, rng.uniform(600, 3500), rng.uniform(1, 2.5))
    ring = tone(rng.uniform(300, 1800), canvas, 0.6 ** np.arange(3)) * np.float32(rng.uniform(0, 0.8))
    return (blows + ring) * bursts(canvas, starts, 0.002, every * rng.uniform(0.15, 0.5))


def _siren(rng: Generator, canvas: Canvas) -> Signal:
    times = np.arange(canvas.samples) / canvas.rate
    sweep = np.sin(2 * np.pi * times / rng.uniform(0.3, 4) + rng.uniform(0, 6))
    octaves = sweep * rng.uniform(0.2, 0.6)
    return tone(rng.uniform(550, 1200) * np.exp2(octaves), canvas, rng.uniform(0.3, 0.7) ** np.arange(5))


def _street_music(rng: Generator, canvas: Canvas) -> Signal:
    beat = rng.uniform(0.18, 0.5)
    scale = rng.uniform(180, 420) * np.exp2(np.array([0, 2, 4, 7, 9, 12]) / 12)
    roll = rng.uniform(0.4, 0.75) ** np.arange(6)
    step = (np.arange(canvas.samples) / (beat * canvas.rate)).astype(np.int64)
    beats = int(canvas.seconds / beat) + 1
    melody = tone(rng.choice(scale, beats)[step], canvas, roll)
    bass = tone(rng.choice(scale[:3], beats)[step] / 2, canvas, roll)
    swell: Signal = bursts(canvas, np.arange(beats) * beat, 0.01, beat * 0.6) + np.float32(0.1)
    return (melody + bass) * swell


GENERATORS: tuple[Callable[[Generator, Canvas], Signal], ...] = (
    _air_conditioner, _car_horn, _children_playing, _dog_bark, _drilling,
    _engine_idling, _gun_shot, _jackhammer, _siren, _street_music,
)  # fmt: skip
"""By UrbanSound8K's number of the class."""


def _repeats(rng: Generator, canvas: Canvas, low: float, high: float) -> Curve:
    """Return when an event happens, in seconds: soon after each onset, and again at random intervals."""
    count = int(canvas.seconds / low) + 1
    times = np.cumsum(rng.uniform(low, high, count))
    return np.concatenate([canvas.onsets / canvas.rate, times[times < canvas.seconds]])


def _microphone(rng: Generator, signal: Signal, rate: int) -> Signal:
    """Colour a recording as its place and device would: up to some dB more or less in each octave."""
    length = fft.next_fast_len(len(signal), real=True)
    octaves = np.linspace(0, 12, 241)
    decibels = np.interp(octaves, np.arange(13), rng.normal(0, 5, 13)) - octaves * rng.uniform(-1, 3)
    gains = 10 ** (decibels / 20)
    spectrum = fft.rfft(signal, length)
    spectrum *= np.interp(np.arange(len(spectrum)) * (rate / length), 20 * 2**octaves, gains).astype(np.float32)
    coloured: Signal = fft.irfft(spectrum, length)[: len(signal)]
    return coloured


def _level(signal: Signal) -> Signal:
    """Bring a signal to unit level (root mean square)."""
    level = float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))) if len(signal) else 0.0
    return (signal / np.float32(max(level, 1e-9))).astype(np.float32)


def _decibel(value: float) -> np.float32:
    return np.float32(10 ** (value / 20))
