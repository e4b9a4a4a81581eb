#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2) reads a part of a valid MP3 of variable bit rate, and says nothing.
#
# Guess, written down before: without a Xing frame the *length* is a guess, but reading to the end gives all samples,
# since every MPEG frame stands by itself.
# Seen: 10 s of audio (385 MPEG frames) of which the first 2 s are loud. Without its Xing frame, as streams and parts of
# files are, the length is guessed from the size of the first frame as 1.927 s, and read() stops there: 8 s are lost
# without an error. With the Xing frame all 10 s are read. Beginning with silence, 23.5 s are promised and 10 s read.
# Exits 0 while this is so, 1 when it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import soundfile

RATE = 22050
KBPS = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]  # MPEG-2, layer III
noise, hush = np.random.default_rng(1).uniform(-0.8, 0.8, 2 * RATE), np.zeros(8 * RATE)
file = io.BytesIO()
soundfile.write(file, np.concatenate([noise, hush]), RATE, format="MP3", subtype="MPEG_LAYER_III",
                bitrate_mode="VARIABLE", compression_level=0.1)
whole = file.getvalue()
first = 72_000 * KBPS[whole[2] >> 4] // RATE + (whole[2] >> 1 & 1)  # length of the frame that holds "Xing"
assert b"Xing" in whole[:first]
read = {}
for name, data in (("with Xing", whole), ("without", whole[first:])):
    with soundfile.SoundFile(io.BytesIO(data)) as opened:
        read[name] = opened.frames / RATE, len(opened.read()) / RATE
    print(f"{name}: promises {read[name][0]:.3f} s, read {read[name][1]:.3f} s")
sys.exit(not (read["with Xing"][1] == 10 and read["without"][1] < 3))
PYTHON
