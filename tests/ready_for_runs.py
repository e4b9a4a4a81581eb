"""What the server of `failpoints` imports, and no test does: its runs find the kernels loaded."""

from __future__ import annotations

import gc
import importlib.metadata

import numpy.fft  # noqa: F401
from failpoints import make_engine

from us8k_batch.config import FeatureConfig

make_engine(FeatureConfig(), "auto")
importlib.metadata.version("numpy")  # which imports what reads an email's header
gc.freeze()  # or each run copies whatever page a collection touches
