"""Look at and listen to a bounded number of a store's clips, one at a time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from us8k_batch.audio.notes import named_notes
from us8k_batch.audio.opening import extension_of
from us8k_batch.catalog.locate import locate
from us8k_batch.catalog.source import Source, open_source
from us8k_batch.errors import ClipError, RequestError, StorageError
from us8k_batch.features.audio import Header, read_header, resample
from us8k_batch.gallery.before_after import Comparison, compare
from us8k_batch.gallery.choose import Places, by_class, spread, typical
from us8k_batch.gallery.depth import bit_depth
from us8k_batch.gallery.draw import draw_portrait
from us8k_batch.gallery.sound import Heard, Sound, at_rate, encode_mp3, excerpt, hear
from us8k_batch.store.reader import Store

HEADERS = 10_000
"""Most clips whose headers are read."""
HEAD_BYTES = 1 << 16
"""Beginning of a file in which its header is looked for."""
HEARD = 1_000
"""Most clips that are decoded."""
EXCERPTS = 300
"""Most of them that go into the page as sound."""
EXCERPT_SECONDS = 2.0
PORTRAITS = 24
"""Most classes of which a clip is shown."""
READERS = 8
"""Headers read at the same time."""
SILENT = 1e-3
"""Peak below which a clip counts as silent: -60 dB of full scale."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """One clip of a class, to see and hear."""

    place: int
    """The clip's, in the store's table."""
    header: Header
    """What its file says."""
    peak: float
    """Largest absolute value, 1 being full scale."""
    drawing: str
    """SVG: waveform, mel spectrogram, MFCC."""
    sound: Sound


@dataclass(slots=True)
class Gallery:
    """What looking and listening found."""

    dataset: str
    """Where the clips were read."""
    census: Mapping[str, Mapping[str, int]]
    """Clips by ``sample rate``, ``channels``, ``bit depth`` and ``coding``, most frequent first."""
    headers: int
    """Clips whose headers were read."""
    heard: int = 0
    """Clips that were decoded."""
    portraits: dict[str, Portrait] = field(default_factory=dict)
    """By class."""
    excerpts: dict[int, Sound] = field(default_factory=dict)
    """Sounds of single clips, by place in the store's table."""
    silent: list[tuple[int, float]] = field(default_factory=list)
    """Place and peak of clips that are silent."""
    clipped: list[tuple[int, float]] = field(default_factory=list)
    """Place and share of samples of clips that stand at full scale, the worst first."""
    unheard: list[tuple[int, str]] = field(default_factory=list)
    """Place and reason of clips that could not be listened to."""
    comparison: Comparison | None = None
    """The tutorial's comparison, of a clip with several channels; None if none was found."""


def make_gallery(store: Store, dataset: str, sha256: pa.ChunkedArray, say: Callable[[str], None]) -> Gallery:
    """Look at and listen to some of a store's clips.

    Parameters
    ----------
    store : Store
        What is published.
    dataset : str
        The dataset that it was made from; a path or URL.
    sha256 : pa.ChunkedArray of str
        For each live clip, the hex digest of the bytes that its result was computed from; null if not known.
    say : callable
        Told what is being done.

    Returns
    -------
    Gallery
        Of at most `HEADERS` clips looked at, `HEARD` clips listened to and `EXCERPTS` sounds kept, whatever the size
        of the store; one clip's samples are in memory at a time.

    Raises
    ------
    RequestError
        If the dataset has none of the store's clips, or is no dataset.
    MissingExtraError
        If matplotlib is not installed.
    """
    clips = store.table
    if "path" not in clips.column_names:
        raise RequestError(f"{store.url}: does not say where its clips are, so --dataset cannot be used")
    place = locate(dataset)
    source = open_source(place.root)
    looked_at = spread(clips, HEADERS)
    say(f"reading the headers of {len(looked_at):,} of {len(clips):,} clips in {dataset}")
    headers = _headers(source, clips, looked_at)
    if len(clips) and not headers:
        raise RequestError(
            f"{place.url}: none of the clips of {store.url} can be read there; expected the "
            "dataset that it was made from"
        )
    made = Gallery(place.url, _census(headers), len(headers))
    listener = _Listener(store, source, sha256, made)
    listener.listen(say)
    listener.portray(say)
    listener.compare(headers)
    return made


def _headers(source: Source, clips: pa.Table, places: Places) -> dict[int, Header]:
    paths = clips["path"].take(pa.array(places)).to_pylist()

    def look(path: str) -> Header | None:
        try:
            data, size = source.read_head(path, HEAD_BYTES)
            try:
                with named_notes(path, data, logging.DEBUG):  # the end is missing, which is no fault of the clip
                    return read_header(data, extension_of(path))
            except ClipError:  # some formats end with what others begin with
                return (
                    read_header(source.read(path, HEAD_BYTES << 8), extension_of(path)) if size > len(data) else None
                )
        except (ClipError, StorageError):
            return None

    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(look, paths)
        return {int(place): header for place, header in zip(places, found, strict=True) if header is not None}


def _census(headers: Mapping[int, Header]) -> dict[str, dict[str, int]]:
    kinds = {
        "sample rate": (f"{header.sample_rate:,} Hz" for header in headers.values()),
        "channels": (str(header.channels) for header in headers.values()),
        "bit depth": (bit_depth(header.subtype) for header in headers.values()),
        "coding": (f"{header.format} {header.subtype}" for header in headers.values()),
    }
    return {kind: dict(Counter(values).most_common()) for kind, values in kinds.items()}


class _Listener:
    """Decodes one clip after the other."""

    def __init__(self, store: Store, source: Source, sha256: pa.ChunkedArray, made: Gallery) -> None:
        self._store, self._source, self._sha256, self._made = store, source, sha256, made
        self._clips = store.table
        self._classes = by_class(self._clips)

    def listen(self, say: Callable[[str], None]) -> None:
        """Measure some clips, and keep excerpts of some of these."""
        places = spread(self._clips, HEARD)
        kept = set(places[spread(self._clips.select(["label"]).take(pa.array(places)), EXCERPTS)].tolist())
        say(f"listening to {len(places):,} of {len(self._clips):,} clips")
        made = self._made
        for place in places.tolist():
            heard = self.hear(place)
            if heard is None:
                continue
            made.heard += 1
            if heard.peak < SILENT:
                made.silent.append((place, heard.peak))
            if share := heard.clipped:
                made.clipped.append((place, share))
            if place in kept:
                made.excerpts[place] = excerpt(heard, EXCERPT_SECONDS)
        made.clipped.sort(key=lambda one: (-one[1], one[0]))

    def portray(self, say: Callable[[str], None]) -> None:
        """Draw a clip of each class."""
        names = list(self._classes)
        say(f"drawing a clip of each of {min(len(names), PORTRAITS)} classes")
        config = self._store.config
        for name in names[:PORTRAITS]:
            place = typical(self._clips, self._classes[name])
            heard = self.hear(place)
            if heard is None:
                continue
            frames = self._store.mfcc[place][:, : self._clips["n_frames"][place].as_py()]
            rate = heard.header.sample_rate
            self._made.portraits[name] = Portrait(
                place,
                heard.header,
                heard.peak,
                draw_portrait(resample(heard.mono, rate, config), frames, config),
                encode_mp3(at_rate(heard.mono, rate), 22050, 0.4),
            )

    def compare(self, headers: Mapping[int, Header]) -> None:
        """Compare one clip of several channels with what features are computed from."""
        for place in self._several_channels(headers):
            heard = self.hear(place)
            if heard is not None:
                self._made.comparison = compare(place, heard)
                return

    def _several_channels(self, headers: Mapping[int, Header]) -> Iterator[int]:
        shown = [one for one in self._made.portraits.values() if one.header.channels > 1]
        # Another rate, and a range of whole numbers, show more of what happens to a clip.
        shown.sort(key=lambda one: (one.header.sample_rate == 22050, one.header.subtype != "PCM_16"))
        yield from (one.place for one in shown)
        yield from (place for place, header in headers.items() if header.channels > 1)

    def hear(self, place: int) -> Heard | None:
        """Decode a clip, or note why that cannot be done."""
        try:
            return hear(
                self._source,
                self._clips["path"][place].as_py(),
                self._sha256[place].as_py(),
                self._store.config,
            )
        except (ClipError, StorageError) as error:
            if all(place != noted for noted, _ in self._made.unheard):
                self._made.unheard.append((place, str(error)))
            return None
