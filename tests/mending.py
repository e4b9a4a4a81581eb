"""Mend tiny stores whose clips are made up, and extract small ones without a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from failpoints import Inline
from runs import Heard, make_options
from stores import CONFIG, Clip, make_catalog, make_info, make_result

from us8k_batch.features.engine import Features
from us8k_batch.objects import Objects, open_objects
from us8k_batch.repair.mender import Mender
from us8k_batch.repair.repair import Repaired, mend_until_sound
from us8k_batch.run import session
from us8k_batch.run.extract import extract
from us8k_batch.run.options import Summary
from us8k_batch.workshop import Workshop


class FromContents:
    """Computes clips again, and remembers which."""

    def __init__(self, clips: Iterable[Clip]) -> None:
        self.clips = {clip.clip_id: clip for clip in clips}
        self.computed: list[str] = []

    def __call__(self, clip_id: str, source_sha256: str, versions: Mapping[str, str]) -> Features | str:  # noqa: ARG002
        """Compute a clip again, unless its content is another one now."""
        clip = self.clips.get(clip_id)
        if clip is None or clip.missing or clip.sha256 != source_sha256:
            return f"{clip_id}: its source is another one now"
        self.computed.append(clip_id)
        result = make_result(clip, 0, config=CONFIG)
        assert result.frames is not None
        assert result.pooled is not None
        return Features(result.frames, result.pooled, result.duration or 0.0, {})


def mend(
    store: str | Path,
    clips: list[Clip],
    *,
    recompute: FromContents | None = None,
    watch: Callable[[Objects], Objects] = lambda objects: objects,
) -> Repaired:
    """Mend a tiny store from its dataset as it is now."""
    objects = watch(open_objects(str(store)))
    mender = Mender(objects, make_info(), make_catalog(clips), recompute or FromContents(clips))
    return mend_until_sound(objects, make_info(), mender)


def extract_alone(dataset: Path, store: Path, **options: Any) -> Summary:
    """Run a whole extraction, with a real decoder child and without a cluster."""
    workshop = Workshop()

    @contextlib.contextmanager
    def connect(*_: object) -> Iterator[Inline]:
        yield Inline(workshop)

    with pytest.MonkeyPatch.context() as patch, contextlib.closing(workshop):
        patch.setattr(session, "connect", connect)
        return extract(make_options(dataset, store, scheduler=None, **options), Heard())
