"""Which cluster a run is to use; imports no Dask, so that options are cheap to make."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass

from us8k_batch.errors import RequestError

GUARD = 'start it below `if __name__ == "__main__":`, because each worker imports the script that started it'


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Which cluster to use; the first that is given."""

    scheduler: str | None = None
    """Address of a running scheduler."""
    scheduler_file: str | None = None
    """File that a running scheduler wrote its address to."""
    spec: str | None = None
    """YAML file that names a cluster class and its arguments; see ``cluster/``."""


def refuse_import_of_main() -> None:
    """Refuse to run while a worker imports the script that started it, before anything is touched.

    Raises
    ------
    RequestError
        Saying what the script should look like.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RequestError(f"a worker that imports this script came to its call of us8k_batch again: {GUARD}")
