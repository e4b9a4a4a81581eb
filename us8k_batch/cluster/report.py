"""Dask's own report of what workers did."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import distributed
from distributed import Client

from us8k_batch.errors import RequestError
from us8k_batch.extras import need


def refuse_report(file: str) -> None:
    """Refuse a report that could not be written, before anything is started for it.

    Raises
    ------
    MissingExtraError
        If bokeh, which draws it, is not installed.
    RequestError
        If the file cannot be written.
    """
    need("dashboard", "--performance-report")
    try:
        Path(file).touch()
    except OSError as error:
        raise RequestError(f"--performance-report {file}: {error.strerror}") from error


@contextlib.contextmanager
def performance_report(client: Callable[[], Client], file: str | None) -> Iterator[None]:
    """Write Dask's performance report of the block to a file, if one is given and the scheduler lives.

    `client` tells which one is connected now.
    """
    if file is None:
        yield
        return
    report = distributed.performance_report(filename=file)
    with client().as_current():
        report.__enter__()
    try:
        yield
    finally:
        # It is worth nothing that its lack would end a run for.
        with contextlib.suppress(Exception), client().as_current():
            report.__exit__(None, None, None)
