"""Choose `max_seconds` of a new store: the longest clip that can be believed and is no odd one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from us8k_batch.catalog.longest import find_longest
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import RequestError, RunInterruptedError
from us8k_batch.run.work import Crew
from us8k_batch.shard_task import Job
from us8k_batch.store.layout import most_seconds

NAMED = 3
"""Odd clips that are named; all of them are in failures.parquet."""


def choose_max_seconds(
    crew: Crew, job: Job, clips: pa.Table, config: FeatureConfig, clips_per_shard: int | None
) -> float:
    """Return the duration that a new store gets room for, in whole seconds, rounded up.

    Headers tell how long clips are. Of the longest ones, those whose header may promise anything are decoded, until
    the choice rests on what is there. See `find_longest` for the rule.

    Parameters
    ----------
    crew : Crew
        Does the work.
    job : Job
        Where the clips are, and how they are decoded.
    clips : pa.Table
        The clips that are there.
    config : FeatureConfig
        What is computed of them.
    clips_per_shard : int or None
        As asked for.

    Raises
    ------
    RequestError
        If no header can be read, or most clips are too long for any store.
    RunInterruptedError
        If the run was asked to stop.
    """
    crew.progress.tell(f"reading {len(clips)} headers for the longest clip")
    measured = crew.measure(job, clips)
    _stop_if_asked(crew.stop)
    seconds, sure = measured.seconds, measured.sure
    room = most_seconds(config, clips_per_shard)
    while True:
        longest = find_longest(seconds, room)
        doubtful = np.array([place for place in longest.looked_at if not sure[place]], np.int64)
        if not len(doubtful):
            break
        counted = crew.count(job, clips.take(pa.array(doubtful)))
        _stop_if_asked(crew.stop)
        # What cannot be counted in time keeps the length that it promises.
        seconds[doubtful] = np.where(np.isnan(counted), seconds[doubtful], counted)
        sure[doubtful] = True
    if not longest.seconds:
        raise RequestError(
            "no clip's header can be read, so the longest is not known; look with us8k check, "
            "or use --set max_seconds=4"
        )
    names = clips["clip_id"]
    if longest.seconds > room:
        raise RequestError(
            f"most clips are longer than the {room:g} s that a store has room for with these parameters "
            f"({names[longest.looked_at[0]].as_py()}: {seconds[longest.looked_at[0]]:.6g} s); "
            f"use --set max_seconds=60 --set truncate=true for the beginning of each, or another hop_length"
        )
    limit = float(math.ceil(longest.seconds))
    if longest.aside:
        crew.progress.tell(_describe(names, seconds, longest.aside, limit, room, config))
    return limit


def _describe(
    names: pa.ChunkedArray,
    seconds: np.ndarray[tuple[int], np.dtype[np.float64]],
    aside: tuple[int, ...],
    limit: float,
    room: float,
    config: FeatureConfig,
) -> str:
    named = ", ".join(f"{names[place].as_py()} ({seconds[place]:.6g} s)" for place in aside[:NAMED])
    more = f" and {len(aside) - NAMED} more" if len(aside) > NAMED else ""
    fate = "cut there" if config.truncate else "recorded as too_long"
    remedies = [] if config.truncate else ["--set truncate=true keeps the beginning of each"]
    if seconds[aside[0]] <= room:
        remedies.insert(0, f"--set max_seconds={math.ceil(seconds[aside[0]])} makes room for all")
    hint = f"; in a new store, {' and '.join(remedies)}" if remedies else ""
    return f"max_seconds is {limit:g}; far longer than the rest, and {fate}: {named}{more}{hint}"


def _stop_if_asked(stop: Callable[[], bool]) -> None:
    if stop():
        raise RunInterruptedError("interrupted while the clips were measured; nothing was written")
