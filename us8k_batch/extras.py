"""Optional parts: what each of them imports, whether it is here, and the command that installs it where we are."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from us8k_batch.errors import MissingExtraError

DISTRIBUTION = "us8k-batch"
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("joblib", "matplotlib", "sklearn", "skops", "xgboost"),
    "nn": ("jax", "keras"),
    "tune": ("optuna",),
    "report": ("matplotlib",),
    "dashboard": ("bokeh",),
    "mlflow": ("alembic", "mlflow", "sqlalchemy"),
    "tensorboard": ("PIL", "tensorboardX"),
    "comet": ("comet_ml",),
    "aws": ("boto3",),
    "ssh": ("asyncssh",),
    "jobqueue": ("cryptography", "dask_jobqueue"),
    "xarray": ("xarray",),
}
"""Modules of each optional part that a command may ask for."""


def need(extra: str, what: str, modules: Iterable[str] | None = None) -> None:
    """Refuse to begin what a part is missing for; nothing is imported.

    Parameters
    ----------
    extra : str
        Name out of `EXTRAS`.
    what : str
        What it is needed for, as the subject of the message.
    modules : iterable of str, optional
        What must be there, if that is less than all of the part.

    Raises
    ------
    MissingExtraError
        Naming what is missing, and the command that installs it.
    """
    wanted = EXTRAS[extra] if modules is None else dict.fromkeys(modules)
    missing = [name for name in wanted if not is_here(name)]
    if missing:
        told = "which is not installed" if len(missing) == 1 else "which are not installed"
        raise MissingExtraError(f"{what} needs {', '.join(missing)}, {told}: {install(extra)}")


def is_here(module: str) -> bool:
    """Tell whether a module could be imported, without doing so."""
    return importlib.util.find_spec(module) is not None


def extra_of(module: str) -> str | None:
    """Return the optional part that brings a module; None if it is none of ours."""
    return next((extra for extra, modules in EXTRAS.items() if module.partition(".")[0] in modules), None)


def install(extra: str) -> str:
    """Return a command that adds an optional part to this installation, to be typed where the message is read."""
    return f"{_installer()} {_asked(extra, _origin(), Path(__file__).parents[1])}"


def _origin() -> dict[str, Any]:
    """Return what was written down of where this installation came from; nothing for one from an index."""
    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        origin = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}


def _asked(extra: str, origin: Mapping[str, Any], beside: Path) -> str:
    """Return what to ask the installer for: of a checkout its folder, of an index the name.

    Parameters
    ----------
    extra : str
        The part.
    origin : mapping
        What PEP 610 has in ``direct_url.json``.
    beside : Path
        The folder that holds the package: a checkout if it has our ``pyproject.toml``.
    """
    url = str(origin.get("url", ""))
    if (beside / "pyproject.toml").is_file():
        return f"-e {_folder(beside, extra)}"
    if "dir_info" in origin and url.startswith("file://"):
        folder = Path(unquote(urlsplit(url).path))
        if (folder / "pyproject.toml").is_file():
            return _folder(folder, extra)
    if "vcs_info" in origin:
        return shlex.quote(f"{DISTRIBUTION}[{extra}] @ {origin['vcs_info']['vcs']}+{url}")
    if "archive_info" in origin:
        return shlex.quote(f"{DISTRIBUTION}[{extra}] @ {url}")
    return shlex.quote(f"{DISTRIBUTION}[{extra}]")


def _folder(folder: Path, extra: str) -> str:
    return shlex.quote(f"{'.' if folder.resolve() == Path.cwd().resolve() else folder}[{extra}]")


def _installer() -> str:
    """Return the pip of this environment: its name only if typing that finds it."""
    ours = Path(sys.executable)
    found = shutil.which("pip")
    if found is not None and Path(os.path.abspath(found)) == ours.absolute().with_name("pip"):  # noqa: PTH100
        return "pip install"
    if is_here("pip"):
        return f"{shlex.quote(str(ours))} -m pip install"
    return f"uv pip install --python {shlex.quote(str(ours))}"
