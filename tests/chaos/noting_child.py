"""A decoder child that notes what it computes: as the real one does, or made up, or obeying orders."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np

from us8k_batch.audio.opening import FileBytes
from us8k_batch.config import FeatureConfig
from us8k_batch.features import child
from us8k_batch.features.audio import OnHeader
from us8k_batch.features.engine import Engine, Features, make_engine


def make_quick(config: FeatureConfig, name: str, on_header: OnHeader) -> Engine:
    """Make an engine that costs nothing: its numbers depend on the bytes alone."""

    def engine(source: FileBytes, extension: str = "") -> Features:
        seed = int.from_bytes(hashlib.sha256(source).digest()[:8], "big")
        rng = np.random.default_rng(seed)
        mfcc = rng.normal(size=(config.n_mfcc, int(rng.integers(1, config.frames + 1)))).astype(np.float32)
        pooled = np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)]).astype(np.float32)
        return Features(mfcc, pooled, 0.1, {"decode": 0.0, "compute": 0.0})

    return engine


def make_poisonous(config: FeatureConfig, name: str, on_header: OnHeader) -> Engine:
    """Make an engine that does to itself what a clip says."""
    import poisonous_child

    poisonous_child.OWN_CLIP = Path(os.environ["US8K_TEST_OWN_CLIP"])
    return poisonous_child.make_poisonous(config, name, on_header)


KINDS = {"quick": make_quick, "real": make_engine, "poisonous": make_poisonous}


def main(kind: str, notes: str, settings: str) -> int:
    """Serve, and note when each clip was begun, by whom, its sha256 and the digest of its frames."""

    def make_noting(config: FeatureConfig, name: str, on_header: OnHeader) -> Engine:
        compute = KINDS[kind](config, name, on_header)
        # One write to the end of a file is never mixed with another's.
        file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        warmed_up = False

        def engine(source: FileBytes, extension: str = "") -> Features:
            nonlocal warmed_up
            if not warmed_up:
                warmed_up = True
                return compute(source, extension)
            began, digest = time.time_ns(), ""
            try:
                done = compute(source, extension)
                digest = hashlib.sha256(np.ascontiguousarray(done.mfcc, dtype="<f4").tobytes()).hexdigest()
            finally:
                os.write(file, f"{began} {os.getpid()} {hashlib.sha256(source).hexdigest()}:{digest}\n".encode())
            return done

        return engine

    return child.main([settings], make_noting)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
