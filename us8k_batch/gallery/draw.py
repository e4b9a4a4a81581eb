"""Pictures of a clip as the tutorial draws them: waveform, mel spectrogram and MFCC, by librosa.display, as SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from us8k_batch.config import FeatureConfig
from us8k_batch.errors import MissingExtraError
from us8k_batch.extras import install

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"
"""Colour of text and lines, which `us8k_batch.pages.figure.inline_svg` replaces by the page's."""
BLUE, ORANGE = "#2288c4", "#c4500a"
"""Colours of waveforms that can be told apart, and seen on light and dark pages."""
DOTS_PER_INCH = 90
"""Of spectrograms, which are images inside the drawing."""
ENVELOPE_POINTS = 900
"""Points of a waveform's outline; more than its pixels are of no use."""


def draw_portrait(samples: NDArray[np.float32], mfcc: NDArray[np.float32], config: FeatureConfig) -> str:
    """Draw a clip's waveform, mel spectrogram and MFCC, one below the other.

    Parameters
    ----------
    samples : float32 array, shape (n_samples,)
        Mono waveform at ``config.sample_rate``.
    mfcc : float32 array, shape (n_mfcc, n_frames)
        As the store holds them.
    config : FeatureConfig
        Of the store.

    Returns
    -------
    str
        SVG whose text and lines have the colour `INK`.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    rows = [
        ("waveform", lambda axes: _waveform(axes, samples, config.sample_rate, BLUE)),
        ("mel, Hz", lambda axes: _mel(axes, samples, config)),
        ("MFCC", lambda axes: _mfcc(axes, mfcc, config)),
    ]
    return _draw(rows, heights=(0.8, 1.2, 1.2), width=5.4)


def draw_comparison(own: NDArray[np.float64], own_rate: int, samples: NDArray[np.float32], rate: int) -> str:
    """Draw a clip's channels as its file holds them, in their own range, above what features are computed from.

    Parameters
    ----------
    own : array, shape (n_samples, channels)
        The file's own numbers, such as -32768 to 32767.
    own_rate : int
        Their rate, in Hz.
    samples : float32 array, shape (n_samples,)
        Mono, in [-1, 1].
    rate : int
        Its rate, in Hz.
    """
    rows: list[tuple[str, Callable[[Axes], Any]]] = [
        (f"channel {i + 1}", lambda axes, i=i: _waveform(axes, own[:, i], own_rate, ORANGE))  # type: ignore[misc]
        for i in range(min(own.shape[1], 2))
    ]
    rows.append(("mono", lambda axes: _waveform(axes, samples, rate, BLUE)))
    return _draw(rows, heights=(1.0,) * len(rows), width=7.0)


def _draw(rows: Sequence[tuple[str, Callable[[Axes], Any]]], *, heights: Sequence[float], width: float) -> str:
    try:
        import librosa.display  # noqa: F401  # fails here, before anything is drawn
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(f"pictures of clips: {error}, which draws them: {install('report')}") from error
    # Without a salt the names inside an SVG are random, and its text would be outlines of letters.
    look: dict[Any, Any] = {"svg.hashsalt": "us8k", "svg.fonttype": "none", "font.size": 9, "axes.linewidth": 0.6}
    look |= {"text.parse_math": False, "text.usetex": False}
    look |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    with mpl.rc_context(look), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clips shorter than a window
        figure = Figure(figsize=(width, 1.05 * sum(heights) + 0.7), layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        all_axes = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        for i, ((label, draw), axes) in enumerate(zip(rows, all_axes, strict=True)):
            draw(axes)
            axes.set(ylabel=label, facecolor="none")
            axes.label_outer() if i < len(rows) - 1 else axes.set_xlabel("seconds")
        file = io.StringIO()
        figure.savefig(
            file, format="svg", dpi=DOTS_PER_INCH, metadata={"Date": None, "Creator": None}, facecolor="none"
        )
    return file.getvalue()


def _waveform(axes: Axes, samples: NDArray[Any], rate: int, colour: str) -> None:
    from librosa.display import waveshow

    values = np.asarray(samples, dtype=np.float64)
    # librosa looks for finite floating-point audio only; a range of 16 or 24 bits is as good to it.
    waveshow(values, sr=rate, ax=axes, max_points=ENVELOPE_POINTS, axis="s", color=colour, linewidth=0.8)
    axes.margins(x=0)


def _mel(axes: Axes, samples: NDArray[np.float32], config: FeatureConfig) -> None:
    import librosa

    power = librosa.feature.melspectrogram(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )
    decibels = librosa.power_to_db(power, ref=np.max, top_db=config.top_db)
    _show(axes, decibels, config, y_axis="mel", fmin=config.fmin, fmax=config.fmax or config.sample_rate / 2)


def _mfcc(axes: Axes, mfcc: NDArray[np.float32], config: FeatureConfig) -> None:
    # Coefficient 0 is loudness, and the next ones are larger than the others, which had one colour beside them.
    largest = float(np.percentile(np.abs(mfcc[1:]), 95)) if len(mfcc) > 1 else 0.0
    _show(axes, mfcc, config, **({"vmin": -largest, "vmax": largest} if largest else {}))
    axes.set_yticks(range(0, len(mfcc), max(1, round(len(mfcc) / 40) * 10)))


def _show(axes: Axes, values: NDArray[Any], config: FeatureConfig, **given: Any) -> None:
    from librosa.display import specshow

    specshow(
        values if values.shape[1] > 1 else np.repeat(values, 2, axis=1),  # of one frame librosa draws nothing
        sr=config.sample_rate,
        hop_length=config.hop_length,
        n_fft=config.n_fft,
        x_axis="s",
        ax=axes,
        cmap="cividis",  # made for colour-blind eyes, and even in grey
        rasterized=True,
        **given,
    )
