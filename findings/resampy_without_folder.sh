#!/usr/bin/env bash
# Can a process whose working directory was removed resample with resampy?
#
# A sandboxed worker often works in a temporary folder, which may be gone before its first clip comes.
#
# Guess written down beforehand: yes: samples are in memory, the filter is a file of the package, and no path of ours is
# involved.
#
# Seen with resampy 0.4.3 and numba 0.62.1 on Linux x86-64, Python 3.11: the first call raises FileNotFoundError without
# a file's name. numba compiles the resampler then, and asks for the path of its source relative to the working
# directory (numba/core/ir.py) merely to describe it. Once it is compiled, the folder may go.
#
# Exits 0 while that is so, 1 if the first call succeeds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q resampy==0.4.3 numba==0.62.1 numpy==2.2.6 scipy==1.15.3
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys
import tempfile

import numpy as np
import resampy


def resample():
    return len(resampy.resample(np.zeros(441, np.float32), 44100, 22050, filter="kaiser_fast"))


home = os.getcwd()
for compiled in (False, True):
    os.chdir(tempfile.mkdtemp())
    os.rmdir(os.getcwd())
    try:
        said = f"{resample()} samples"
    except FileNotFoundError as error:
        said = str(error)
    print("compiled before:" if compiled else "not compiled:", said)
    if compiled != said.endswith("samples"):
        sys.exit(1)
    os.chdir(home)
    resample()
PYTHON
