"""Where a command writes: folders that vanish again if it fails, and temporary names beside what is replaced."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from us8k_batch.errors import RequestError


@contextlib.contextmanager
def made(folder: Path, advice: str = "choose another --out", *, scrap: str | None = None) -> Iterator[None]:
    """Make a folder and those that lead to it; if the block fails, remove what was made here and is empty again.

    Parameters
    ----------
    folder : Path
        It may be there already.
    advice : str
        What to do if nothing can be written there.
    scrap : str, optional
        What the block keeps in it for the next time, which does not count if the folder itself is new.

    Raises
    ------
    RequestError
        If it cannot be made, or nothing can be written into it.
    """
    new: list[Path] = []
    try:
        _make(folder, new)
        probe = beside(folder / "probe")
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        _remove(new)
        raise RequestError(f"{folder}: cannot be written ({error.strerror}); {advice}") from error
    try:
        yield
    except BaseException:
        if scrap is not None and folder in new:
            shutil.rmtree(folder / scrap, ignore_errors=True)
        _remove(new)
        raise


def beside(path: Path) -> Path:
    """Return a new name in the folder of a path, for what takes its place later.

    What is made by the name has the mode that umask gives; `tempfile` shuts everybody else out.
    """
    return path.with_name(f".{path.name}-{secrets.token_hex(8)}")


def _make(folder: Path, new: list[Path]) -> None:
    """Make what is missing, and note it in `new`, the innermost first."""
    if folder.is_dir():
        return
    if folder != folder.parent:
        _make(folder.parent, new)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        new.insert(0, folder)


def _remove(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):  # somebody else put something there
        for one in folders:
            one.rmdir()
