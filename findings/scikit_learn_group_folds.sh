#!/usr/bin/env bash
# Does StratifiedGroupKFold with shuffle=True and a fixed random_state draw the same folds in every scikit-learn 1.x?
#
# Guess written down beforehand: yes: seed and data are the same, and a run that is repeated with a newer release has
# the same folds.
#
# Seen on Linux x86-64, Python 3.11, numpy 2.2.6: 1.5.2 and 1.7.2 draw the same folds, 1.8.0 draws others from the
# same seed; without shuffle all agree. So a score by such folds moves between releases though no model changed.
#
# Why: up to 1.7 shuffled folds were not stratified at all (groups were shuffled without what was counted of them),
# which scikit-learn#32540 mended.
#
# Exits 0 while that is so, 1 if 1.7.2 and 1.8.0 agree, or 1.5.2 and 1.7.2 do not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/folds.py" <<'PYTHON'
import hashlib
import sys

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

rng = np.random.RandomState(0)
groups = np.repeat(np.arange(40), 5)
labels = np.repeat(rng.randint(0, 4, 40), 5)
shuffle = sys.argv[1] == "shuffle"
splitter = StratifiedGroupKFold(5, shuffle=shuffle, random_state=0 if shuffle else None)
folds = b"".join(test.astype("<i8").tobytes() + b";" for _, test in splitter.split(labels[:, None], labels, groups))
print(hashlib.sha256(folds).hexdigest()[:12])
PYTHON
declare -A drawn plain
for version in 1.5.2 1.7.2 1.8.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "scikit-learn==$version" numpy==2.2.6
    drawn[$version]=$("$folder/$version/bin/python" "$folder/folds.py" shuffle)
    plain[$version]=$("$folder/$version/bin/python" "$folder/folds.py" plain)
    echo "scikit-learn $version: shuffled ${drawn[$version]}, not shuffled ${plain[$version]}"
done
[ "${drawn[1.5.2]}" = "${drawn[1.7.2]}" ] || exit 1
[ "${plain[1.7.2]}" = "${plain[1.8.0]}" ] || exit 1
[ "${drawn[1.7.2]}" != "${drawn[1.8.0]}" ] || exit 1
