"""The engine against librosa on one core: from a file to MFCC frames and their means, clip by clip in turn.

    python benchmarks/bench_kernel.py [--clips FOLDER] [--seconds 40]

The clips are WAV files of FOLDER, or synthetic ones of 4 s in the usual encodings. Both sides get the path of a file
in the page cache; librosa does `librosa.load`, `librosa.feature.mfcc` and the mean, as a notebook would. Each is a
process of its own, as its users have it; they share one core and take turns of 16 clips. Prints, per encoding and
resampler, the medians, and the quartiles of the ratio for the same clip of the same turn; fails where the frames
differ by more than 2e-3. The last line is the ratio for 44.1 kHz, stereo, 16 bit (or the folder's first encoding),
with librosa's default resampler.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from results import keep
from sides import TURN, Side, notebook, stay_on_one_core, us8k
from sounds import make_sound

from us8k_batch.recheck import TOLERANCE

ENCODINGS = {
    "44.1 kHz, stereo, 16 bit": (44100, 2, "WAV", "PCM_16"),
    "44.1 kHz, mono, 16 bit": (44100, 1, "WAV", "PCM_16"),
    "44.1 kHz, stereo, 24 bit": (44100, 2, "WAV", "PCM_24"),
    "48 kHz, stereo, 16 bit": (48000, 2, "WAV", "PCM_16"),
    "22.05 kHz, mono, 16 bit": (22050, 1, "WAV", "PCM_16"),
    "44.1 kHz, stereo, Ogg": (44100, 2, "OGG", "VORBIS"),
}
MAIN = next(iter(ENCODINGS))


def make_clips(folder: Path, clips: int) -> dict[str, list[Path]]:
    """Write clips of noise under sweeping tones, by encoding."""
    rng = np.random.default_rng(0)
    made: dict[str, list[Path]] = {}
    for encoding, (rate, channels, form, subtype) in ENCODINGS.items():
        for i in range(clips if encoding == MAIN else clips // 4):
            path = folder / f"{len(made)}-{i}.{form.lower()}"
            soundfile.write(path, make_sound(rng, rate, channels), rate, format=form, subtype=subtype)
            made.setdefault(encoding, []).append(path)
    return made


def find_clips(folder: Path) -> dict[str, list[Path]]:
    """Sort a folder's clips by encoding."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.wav")):
        about = soundfile.info(path)
        kind = f"{about.samplerate / 1000:g} kHz, {about.channels} channels, {about.subtype}"
        found.setdefault(kind, []).append(path)
    return found


def compare(ours: Side, theirs: Side, paths: list[Path], seconds: float) -> tuple[NDArray[np.float64], float]:
    """Time both in turn for so long; return times, shape (n, 2), in ms, and the largest difference of any value."""
    times: list[tuple[float, float]] = []
    worst = 0.0
    for path in (*paths, paths[0]):  # nothing is timed that is compiled, cached or imported late
        worst = max(worst, float(np.abs(ours.frames(path) - theirs.frames(path)).max()))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        turn = [paths[i % len(paths)] for i in range(TURN)]
        times.extend(zip(ours.times(turn), theirs.times(turn), strict=True))
    return np.array(times), worst


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="folder of WAV files; synthetic ones otherwise")
    parser.add_argument("--seconds", type=float, default=40.0, help="time to spend measuring")
    given = parser.parse_args()
    stay_on_one_core()
    with tempfile.TemporaryDirectory() as name:
        clips = find_clips(given.clips) if given.clips else make_clips(Path(name), 16)
        main_one = next(iter(clips))
        weights = {encoding: 4.0 if encoding == main_one else 1.0 for encoding in clips}
        print(f"{'clip':<26}{'resampler':<13}{'us8k ms':>9}{'librosa ms':>12}{'ratio':>8}  quartiles     max |Δ|")
        last, trouble, rows = 0.0, [], []
        for res_type in ("kaiser_fast", "soxr_hq"):
            ours, theirs = Side(us8k, res_type), Side(notebook, res_type)
            for encoding, paths in clips.items():
                seconds = given.seconds * weights[encoding] / sum(weights.values()) / 2
                times, worst = compare(ours, theirs, paths, seconds)
                low, ratio, high = np.percentile(times[:, 1] / times[:, 0], [25, 50, 75])
                fast, slow = np.median(times, axis=0)
                spread = f"{low:.1f} to {high:.1f}"
                print(f"{encoding:<26}{res_type:<13}{fast:9.2f}{slow:12.2f}{ratio:8.1f}  {spread:<14}{worst:.1g}")
                rows.append([encoding, res_type, fast, slow, ratio, low, high, worst])
                if worst > TOLERANCE:
                    trouble.append(f"{encoding}, {res_type}: the frames differ by {worst:.2g}")
                last = ratio if encoding == main_one else last
            ours.close()
            theirs.close()
        keep("kernel", {"kind": "real" if given.clips else "synthetic", "rows": rows})
        if trouble:
            raise SystemExit("\n".join(trouble))
        print(f"ratio {last:.1f}")


if __name__ == "__main__":
    main()
