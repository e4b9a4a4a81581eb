"""Players of single clips of a run: excerpts of the dataset that it goes back to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from us8k_batch.catalog.layouts import clips_of
from us8k_batch.catalog.locate import locate
from us8k_batch.catalog.source import open_source
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError, RequestError, StorageError
from us8k_batch.gallery.sound import excerpt, hear
from us8k_batch.pages.figure import player

SECONDS = 4.0
"""The loudest seconds of a clip that are kept."""
DECODED = FeatureConfig(max_seconds=60.0, truncate=True)
"""What is decoded of a clip, whatever the run says: its folder may come from a stranger."""


def players(
    clip_ids: Sequence[str], dataset: str, say: Callable[[str], None], columns: Mapping[str, str] | None = None
) -> dict[str, Markup]:
    """Make players of some clips.

    Parameters
    ----------
    clip_ids : sequence of str
        Few enough for one page.
    dataset : str
        Path or URL of the dataset.
    say : callable
        Told what is being done.
    columns : mapping, optional
        As `us8k_batch.catalog.dataset.open_catalog` takes them.

    Returns
    -------
    dict of str to Markup
        By clip_id: a player, or why there is none. Clips that the dataset does not have are left out.

    Raises
    ------
    RequestError
        If it has none of them, or is no dataset.
    """
    place = locate(dataset)
    clips = clips_of(place, columns).select(["clip_id", "path"])
    found = clips.filter(pc.is_in(clips["clip_id"], value_set=pa.array(clip_ids, pa.string())))
    if clip_ids and not len(found):
        raise RequestError(f"{place.url}: has no clip of the run; expected the dataset that its store was made from")
    source = open_source(place.root)
    say(f"listening to {len(found):,} clips in {place.url}")
    made = {}
    for clip in found.to_pylist():
        try:
            # Without a digest to compare with: a run knows its clips by name.
            sound = excerpt(hear(source, clip["path"], None, DECODED), SECONDS)
            made[clip["clip_id"]] = player(sound.data, sound.mime, clip["clip_id"])
        except (ClipError, StorageError) as error:
            made[clip["clip_id"]] = Markup("<p>No sound: {}</p>").format(str(error))
    return made
