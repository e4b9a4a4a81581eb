#!/usr/bin/env bash
# Does python-soundfile read a WAV file with an ID3v2 tag before RIFF alike from its path and from memory?
#
# Taggers such as node-id3 put an ID3v2 tag before whatever file they are given; players and libsndfile skip it.
#
# Guess written down beforehand: soundfile.read(path) and soundfile.read(io.BytesIO(the same bytes)) give the same
# samples, since both are libsndfile.
#
# Seen with soundfile 0.14.0 (libsndfile 1.2.2) on Linux x86-64, Python 3.11: 44,100 samples by the path; 24,100 from
# memory: as many bytes of audio are missing at the end as the tag is long, without an error. What is there is equal.
#
# Exits 0 while that is so, 1 if both give the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import io
import pathlib
import struct
import sys

import numpy as np
import soundfile

wav = io.BytesIO()
soundfile.write(wav, np.linspace(-0.5, 0.5, 44100), 22050, format="WAV", subtype="PCM_16")
body = b"TIT2" + struct.pack(">I", 7) + b"\0\0" + b"\0A bird"
body += bytes(40_000 - 10 - len(body))  # padding, which ID3v2 allows
size = len(body)
tag = b"ID3\3\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + body
data = tag + wav.getvalue()
pathlib.Path("tagged.wav").write_bytes(data)
by_path, _ = soundfile.read("tagged.wav", dtype="int16")
in_memory, _ = soundfile.read(io.BytesIO(data), dtype="int16")
print(f"libsndfile {soundfile.__libsndfile_version__}; tag of {len(tag)} bytes; samples by path {len(by_path)}, in memory {len(in_memory)}")
assert len(by_path) == 44100
sys.exit(0 if len(by_path) - len(in_memory) == len(tag) // 2 and (by_path[: len(in_memory)] == in_memory).all() else 1)
PYTHON
