"""What the genuine UrbanSound8K consists of: path, size and sha256 of its 8,732 clips."""

from __future__ import annotations

from importlib.resources import files

import pyarrow as pa
import pyarrow.parquet as pq

from us8k_batch.buffers import arrow_reader


def load_genuine() -> pa.Table:
    """Load the genuine clips, by path.

    Returns
    -------
    genuine : Table of 8,732 rows
        ``path`` (string, such as ``audio/fold5/100032-3-0-0.wav``), ``size`` (int64, bytes) and ``sha256``
        (32 bytes).

    References
    ----------
    J. Salamon, C. Jacoby and J. P. Bello 2014, "A Dataset and Taxonomy for Urban Sound Research", ACM MM.
    """
    data = (files("us8k_batch.catalog") / "urbansound8k.parquet").read_bytes()
    return pq.ParquetFile(arrow_reader(data)).read()
