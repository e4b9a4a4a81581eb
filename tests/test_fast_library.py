"""The kernels as functions: arguments that machine code would misread never reach it."""

from __future__ import annotations

import numpy as np
import pytest

from us8k_batch.config import FeatureConfig
from us8k_batch.features.fast.arguments import source_of
from us8k_batch.features.fast.library import load_library
from us8k_batch.features.fast.spectrum import make_tables
from us8k_batch.features.fast.words import pack


def test_it_is_loaded_once() -> None:
    """All engines of a process share one copy."""
    assert load_library() is load_library()


def test_arguments_of_another_layout() -> None:
    """An array of another type or shape, or a number of another kind, is refused by name."""
    library = load_library()
    source = source_of(np.zeros((4, 1), dtype=np.float32))
    with pytest.raises(TypeError, match=r"read_mono was called with .*<f8 1"):
        library.read_mono(source, 0, np.zeros(4))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"read_mono was called with .*<f4 2"):
        library.read_mono(source, 0, np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(TypeError, match="read_mono was called with"):
        library.read_mono(source._replace(n_samples=4.0), 0, np.zeros(4, dtype=np.float32))  # type: ignore[arg-type]


def test_every_configuration_has_one_layout() -> None:
    """Constants of any configuration are what the kernels were compiled for, also where bands are empty."""
    layouts = {
        pack(make_tables(config)).layout
        for config in (
            FeatureConfig(),
            FeatureConfig(n_fft=512, n_mels=3, n_mfcc=3, fmin=290.0, fmax=300.0),
            FeatureConfig(n_mels=41, n_mfcc=13, hop_length=100, top_db=1.0, fmax=8000.0),
        )
    }
    assert layouts == {load_library()._layouts["extract"][2]}
