"""Start without what nobody here needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence


class _Nowhere:
    """Finds no pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:  # noqa: ARG002
        """Refuse pandas; leave everything else to others."""
        if name == "pandas":
            raise ModuleNotFoundError("no pandas for now", name=name)


def forgo_pandas() -> None:
    """Keep pyarrow from importing pandas, which takes a quarter of a second and 35 MB.

    pyarrow looks for it when it makes its first array, to recognise objects of pandas' by. It looks once; whoever
    asks for pandas later, as ``to_pandas`` does, gets it.
    """
    if "pandas" in sys.modules:
        return
    nowhere = _Nowhere()
    sys.meta_path.insert(0, nowhere)
    try:
        import pyarrow as pa

        pa.array([0])
    finally:
        sys.meta_path.remove(nowhere)
