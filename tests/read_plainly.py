"""Read a store without our package, as anybody's program would, and compare every row with its digest.

python tests/read_plainly.py STORE
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import xarray
import zarr


def read_plainly(store: Path) -> dict[str, Any]:
    """Read all frames with zarr and with xarray; say what was read, and which clips were not what they should be."""
    table = pq.read_table(store / "pooled.parquet")
    frames = zarr.open(store / "mfcc.zarr", mode="r")["mfcc"]
    labelled = xarray.open_zarr(store / "mfcc.zarr", consolidated=False)["mfcc"]
    wrong = []
    for row in table.to_pylist():
        for array in (frames[row["row"]], labelled[row["row"]].to_numpy()):
            there, rest = array[:, : row["n_frames"]], array[:, row["n_frames"] :]
            digest = hashlib.sha256(np.ascontiguousarray(there, dtype="<f4").tobytes()).hexdigest()
            mean = there.astype(np.float64).mean(axis=1).astype(np.float32)
            if digest != row["digest"] or not np.isnan(rest).all() or mean[0] != row["mfcc_mean_00"]:
                wrong.append(row["clip_id"])
    versions = {"python": platform.python_version(), "zarr": zarr.__version__, "xarray": xarray.__version__}
    return {"clips": len(table), "wrong": wrong, "shape": list(frames.shape), **versions}


if __name__ == "__main__":
    found = read_plainly(Path(sys.argv[1]))
    print(json.dumps(found))  # noqa: T201  # what it is run for
    sys.exit(1 if found["wrong"] or not found["clips"] else 0)
