"""Messages of the decoder child: what is packed is unpacked, and anything else is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import Failure
from us8k_batch.features import wire
from us8k_batch.features.audio import Header
from us8k_batch.features.engine import Features
from us8k_batch.features.wire import Limits, Told, WireError

CONFIG = FeatureConfig(n_mfcc=3, max_seconds=1.0)
LIMITS = Limits.of(CONFIG, 2 << 30)
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=16)


@given(n_frames=st.integers(1, CONFIG.frames), duration=st.floats(0, 1e6), seed=st.integers(0, 9))
def test_features_survive(n_frames: int, duration: float, seed: int) -> None:
    """Frames, vector, duration and times arrive as they were sent, and within the length that is allowed."""
    rng = np.random.default_rng(seed)
    mfcc = rng.standard_normal((3, n_frames)).astype(np.float32)
    sent = Features(mfcc, rng.standard_normal(6).astype(np.float32), duration, {"decode": 0.5, "compute": 0.25})
    body = b"".join(wire.pack_features(sent))
    assert len(body) <= LIMITS.body_bytes(Told.FEATURES)
    got = wire.unpack_features(bytearray(body), LIMITS)
    assert np.array_equal(got.mfcc, sent.mfcc)
    assert np.array_equal(got.pooled, sent.pooled)
    assert (got.duration, got.seconds) == (sent.duration, sent.seconds)


@given(st.builds(Header, names, names, st.integers(1, 2**31 - 1), st.integers(1, 1024), st.integers(0, 2**63 - 1)))
def test_headers_survive(header: Header) -> None:
    """Any header that libsndfile can read arrives as it was sent, with a promise of ages too."""
    assert wire.unpack_header(bytearray(wire.pack_header(header))) == header


@given(st.builds(Failure, names, names, st.text(max_size=1000)))
def test_failures_survive(failure: Failure) -> None:
    """A failure arrives as it was sent, in any language."""
    got = wire.unpack_failure(bytearray(wire.pack_failure(failure)))
    assert got == Failure(failure.stage, failure.error, failure.detail.encode(errors="replace").decode())


def test_a_long_detail_is_cut() -> None:
    """A detail of any length fits a message, even if it is cut within a character."""
    body = wire.pack_failure(Failure("decode", "crashed", "x" + "é" * 5000))
    assert len(body) <= LIMITS.body_bytes(Told.FAILURE)
    assert wire.unpack_failure(bytearray(body)).detail.startswith("xéé")


@given(st.binary(max_size=300))
def test_rubbish_is_refused(data: bytes) -> None:
    """Bytes that are no message raise WireError or mean something, and never raise anything else."""
    body = bytearray(data)
    unpackers = (
        wire.unpack_header,
        wire.unpack_failure,
        lambda body: wire.unpack_features(body, LIMITS),
        lambda body: wire.unpack_prefix(body.ljust(13, b"\0")[:13], 1, LIMITS),
    )
    for unpack in unpackers:
        try:
            unpack(body)
        except WireError:
            continue


def test_limits_follow_from_what_is_computed() -> None:
    """A reply is never longer than the longest clip's; without max_seconds, than the child's memory."""
    known = Limits.of(FeatureConfig(max_seconds=4.0), 2 << 30)
    assert known.n_frames == 173
    unknown = Limits.of(FeatureConfig(), 1 << 20)
    assert unknown.body_bytes(Told.FEATURES) < (1 << 20) + 1000
    with pytest.raises(WireError, match="at most"):
        wire.unpack_prefix(wire.PREFIX.pack(Told.FEATURES, 7, 2**40), 7, known)
