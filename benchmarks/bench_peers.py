"""From a file to MFCC frames and their means, on one core: this engine, librosa, and other libraries, clip by clip.

    python benchmarks/bench_peers.py [--dataset FOLDER] [--clips 24] [--seconds 60]

The clips are a synthetic dataset in UrbanSound8K's layout, made on the fly, or those of a folder that --dataset or
US8K_BENCH_DATASET names. All sides take the same file in turn, from the page cache. librosa does as in a notebook:
load, mfcc, mean; the tutorial's loop is that with its resampler. The other libraries have no loader of their own, and
get the fastest one to be had: soundfile, the mean of the channels, soxr. Agreement is the largest difference of any
value from librosa with the same resampler; fails where ours, or another that claims to compute the same, differs by
more than 2e-3.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import kaldi_native_fbank
import librosa
import numpy as np
import opensmile
import scipy.fft
import soundfile
import soxr
from numpy.typing import NDArray
from results import keep
from threadpoolctl import threadpool_limits

from us8k_batch.catalog.synth import synthesise
from us8k_batch.config import FeatureConfig
from us8k_batch.features.engine import make_engine
from us8k_batch.recheck import TOLERANCE

Frames = NDArray[np.float32]
Side = Callable[[Path], Frames]


def us8k(res_type: str) -> Side:
    """Compute as workers do."""
    engine = make_engine(FeatureConfig(max_seconds=600.0, res_type=res_type), "auto")
    return lambda path: engine(path.read_bytes()).mfcc


def notebook(res_type: str) -> Side:
    """Compute as a notebook does."""

    def compute(path: Path) -> Frames:
        samples, rate = librosa.load(path, res_type=res_type)
        mfcc = librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=40)
        mfcc.mean(axis=1)
        return mfcc

    return compute


def load(path: Path) -> NDArray[np.float32]:
    """Load a clip as fast as ready-made libraries can."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return soxr.resample(mono, rate, 22050) if rate != 22050 else mono


def kaldi() -> Side:
    """Compute the mel spectrogram by kaldi-native-fbank, with librosa's bands; decibels and cosines by SciPy."""
    options = kaldi_native_fbank.FbankOptions()
    framing, bands = options.frame_opts, options.mel_opts
    framing.samp_freq, framing.frame_length_ms, framing.frame_shift_ms = 22050, 2048 / 22.05, 512 / 22.05
    framing.dither, framing.preemph_coeff, framing.remove_dc_offset, framing.window_type = 0, 0, False, "hann"
    bands.num_bins, bands.low_freq, bands.high_freq, bands.is_librosa = 128, 0, 0, True
    options.use_log_fbank, options.use_power, options.use_energy = False, True, False

    def compute(path: Path) -> Frames:
        bank = kaldi_native_fbank.OnlineFbank(options)
        bank.accept_waveform(22050, np.pad(load(path), 1024))
        bank.input_finished()
        mel = np.array([bank.get_frame(i) for i in range(bank.num_frames_ready)]).T
        mfcc = scipy.fft.dct(librosa.power_to_db(mel), axis=0, norm="ortho")[:40]
        mfcc.mean(axis=1)
        return mfcc

    return compute


def smile() -> Side:
    """Compute by openSMILE: as many coefficients, bands and samples a window, by its own definitions."""
    made = opensmile.Smile(str(Path(__file__).with_name("mfcc.conf")), "mfcc")

    def compute(path: Path) -> Frames:
        mfcc = made.process_signal(load(path), 22050).to_numpy().T
        mfcc.mean(axis=1)
        return mfcc

    return compute


def find_clips(folder: Path, most: int) -> list[Path]:
    """Choose clips of a folder, spread over it."""
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".ogg", ".flac", ".mp3"))
    return found[:: max(1, len(found) // most)][:most]


def main() -> None:
    """Print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=os.environ.get("US8K_BENCH_DATASET"))
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sides = {
        "us8k_batch": (us8k("soxr_hq"), "librosa"),
        "us8k_batch, kaiser_fast": (us8k("kaiser_fast"), "tutorial's loop (kaiser_fast)"),
        "librosa": (notebook("soxr_hq"), None),
        "tutorial's loop (kaiser_fast)": (notebook("kaiser_fast"), None),
        "kaldi-native-fbank": (kaldi(), "librosa"),
        "openSMILE": (smile(), ""),
    }
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        if given.dataset is None:
            synthesise(name, clips=given.clips)
        paths = find_clips(Path(given.dataset or name), given.clips)
        worst = dict.fromkeys(sides, 0.0)
        for path in paths:  # nothing is timed that is compiled, cached or imported late
            frames = {side: compute(path) for side, (compute, _) in sides.items()}
            for side, (_, reference) in sides.items():
                if reference:
                    worst[side] = max(worst[side], float(np.abs(frames[side] - frames[reference]).max()))
        times: dict[str, list[float]] = {side: [] for side in sides}
        end, turn = time.perf_counter() + given.seconds, 0
        while time.perf_counter() < end or turn < len(paths):
            for side, (compute, _) in sides.items():
                start = time.perf_counter()
                compute(paths[turn % len(paths)])
                times[side].append(1e3 * (time.perf_counter() - start))
            turn += 1
    rows = []
    for side, (_, reference) in sides.items():
        ratios = np.array(times[side]) / times["us8k_batch, kaiser_fast" if "kaiser" in side else "us8k_batch"]
        agreement = "the reference" if reference is None else f"max Δ {worst[side]:.1g}" if reference else ""
        low, ratio, high = np.percentile(ratios, [25, 50, 75])
        rows.append(
            {
                "side": side,
                "ms": float(np.median(times[side])),
                "low": float(np.percentile(times[side], 25)),
                "high": float(np.percentile(times[side], 75)),
                "ratio": ratio,
                "ratio_low": low,
                "ratio_high": high,
                "agreement": agreement or "other numbers: HTK's bands, natural logarithm, no floor, fewer frames",
            }
        )
        print(f"{side:<31}{rows[-1]['ms']:9.2f} ms  {ratio:7.1f} ({low:.1f} to {high:.1f})  {rows[-1]['agreement']}")
    kind = "synthetic" if given.dataset is None else "real"
    keep(f"peers-{kind}", {"clips": len(paths), "kind": kind, "turns": turn, "rows": rows})
    trouble = [side for side in sides if worst[side] > TOLERANCE]
    if trouble:
        raise SystemExit(f"the numbers differ: {', '.join(trouble)}")


if __name__ == "__main__":
    main()
