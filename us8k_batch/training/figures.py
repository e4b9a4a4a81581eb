"""Figures of one run: confusion matrix, score per class, and confidence against accuracy; same scores, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from us8k_batch.training.metrics import Scores
from us8k_batch.training.models import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")


def draw_figures(scores: Scores, classes: Sequence[str], folder: Path) -> None:
    """Draw all figures of a run, each as PNG and SVG.

    Parameters
    ----------
    scores : Scores
        What is drawn.
    classes : sequence of str
        Labels by code.
    folder : Path
        Where the files go; it exists.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "train", "drawing figures")
    # Without these an SVG holds the time and random names.
    with matplotlib.rc_context({"svg.hashsalt": "us8k", "svg.fonttype": "none", "font.size": 9}):
        for name, draw in _FIGURES.items():
            _draw(draw, scores, classes, folder / name)


def _draw(
    draw: Callable[[Axes, Scores, Sequence[str]], None], scores: Scores, classes: Sequence[str], stem: Path
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = max(4.5, 0.45 * len(classes) + 2.0)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot(), scores, classes)
    figure.savefig(stem.with_suffix(".png"), dpi=120, metadata={"Software": None})
    # Where all stands is decided by now; deciding it anew is half the time of a figure.
    figure.set_layout_engine("none")
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def _confusion(axes: Axes, scores: Scores, classes: Sequence[str]) -> None:
    counts = np.array(scores.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    for row in places:
        for column in places:
            if counts[row, column]:
                shade = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=shade)
    axes.set(xlabel="said", ylabel="right", title=f"Clips by class, accuracy {100 * scores.accuracy_mean:.1f} %")
    axes.figure.colorbar(image, ax=axes, label="share of the right class", shrink=0.8)


def _per_class(axes: Axes, scores: Scores, classes: Sequence[str]) -> None:
    places = np.arange(len(classes))
    for i, measure in enumerate(("precision", "recall", "f1")):
        values = [getattr(scores.per_class[name], measure) or 0.0 for name in classes]
        axes.barh(places + 0.27 * (i - 1), values, height=0.25, label=measure)
    axes.set_yticks(places, classes)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="score", title=f"Per class, macro-F1 {scores.macro_f1:.3f}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, fontsize=8)
    axes.grid(axis="x", alpha=0.3)


def _calibration(axes: Axes, scores: Scores, classes: Sequence[str]) -> None:  # noqa: ARG001  # as all figures
    bins = [b for b in scores.reliability if b.clips]
    total = sum(b.clips for b in bins)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="as sure as right")
    axes.bar(
        [b.low + 0.05 for b in bins], [b.clips / total for b in bins], width=0.09, alpha=0.25, label="share of clips"
    )
    axes.plot([b.confidence or 0.0 for b in bins], [b.accuracy or 0.0 for b in bins], marker="o", label="this run")
    error = scores.expected_calibration_error
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title=f"Calibration, error {error:.3f}"
    )
    axes.legend(loc="upper left", fontsize=8)


_FIGURES = {"confusion": _confusion, "per_class": _per_class, "calibration": _calibration}
