"""From a file to MFCC frames and their means, on one core: this engine, librosa, and other libraries, in turn.

    python benchmarks/bench_peers.py [--dataset FOLDER] [--clips 24] [--seconds 60]

The clips are a synthetic dataset in UrbanSound8K's layout, made on the fly, or those of a folder that --dataset or
US8K_BENCH_DATASET names. All sides take the same files in turns, from the page cache. librosa does as in a notebook:
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
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from results import keep
from sides import TURN, Compute, Frames, Side, notebook, stay_on_one_core, us8k

from us8k_batch.catalog.synth import synthesise
from us8k_batch.recheck import TOLERANCE


def load(path: Path) -> NDArray[np.float32]:
    """Load a clip as fast as ready-made libraries can."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return soxr.resample(mono, rate, 22050) if rate != 22050 else mono


def kaldi() -> Compute:
    """Compute the mel spectrogram by kaldi-native-fbank, with librosa's bands; decibels and cosines by SciPy."""
    import kaldi_native_fbank
    import librosa
    import scipy.fft

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


def smile() -> Compute:
    """Compute by openSMILE: as many coefficients, bands and samples a window, by its own definitions."""
    import opensmile

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
    stay_on_one_core()
    sides = {
        "us8k_batch": (Side(us8k, "soxr_hq"), "librosa"),
        "us8k_batch, kaiser_fast": (Side(us8k, "kaiser_fast"), "tutorial's loop (kaiser_fast)"),
        "librosa": (Side(notebook, "soxr_hq"), None),
        "tutorial's loop (kaiser_fast)": (Side(notebook, "kaiser_fast"), None),
        "kaldi-native-fbank": (Side(kaldi), "librosa"),
        "openSMILE": (Side(smile), ""),
    }
    with tempfile.TemporaryDirectory() as folder:
        if given.dataset is None:
            synthesise(folder, clips=given.clips)
        paths = find_clips(Path(given.dataset or folder), given.clips)
        worst = dict.fromkeys(sides, 0.0)
        for path in paths:  # nothing is timed that is compiled, cached or imported late
            frames = {name: side.frames(path) for name, (side, _) in sides.items()}
            for name, (_, reference) in sides.items():
                if reference:
                    worst[name] = max(worst[name], float(np.abs(frames[name] - frames[reference]).max()))
        times: dict[str, list[float]] = {name: [] for name in sides}
        end, turn = time.perf_counter() + given.seconds, 0
        while time.perf_counter() < end or turn < len(paths):
            some = [paths[(turn + i) % len(paths)] for i in range(TURN)]
            for name, (side, _) in sides.items():
                times[name].extend(side.times(some))
            turn += TURN
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
