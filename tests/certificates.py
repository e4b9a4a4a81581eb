"""Make certificates as a user would, and read what Dask is told of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

MAKE = Path(__file__).parents[1] / "cluster/tls/make.sh"


def make_certificates(folder: Path, *options: str) -> Path:
    """Make an authority and its certificates, or new certificates of the one that is there; return the folder."""
    subprocess.run([MAKE, folder, *options], check=True, capture_output=True)
    return folder


def security(role: Path) -> dict[str, Any]:
    """Read Dask's settings from a folder that was made for a role; return them by their full names."""
    comm = yaml.safe_load((role / "dask.yaml").read_text())["distributed"]["comm"]
    found = {"distributed.comm.require-encryption": comm["require-encryption"]}
    for name, value in comm["tls"].items():
        files = {f"{name}.{kind}": file for kind, file in value.items()} if isinstance(value, dict) else {name: value}
        found |= {f"distributed.comm.tls.{part}": file for part, file in files.items()}
    return found
