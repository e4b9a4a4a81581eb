"""Figures of one run: confusion matrix, score per class, and confidence against accuracy; same scores, same bytes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from us8k_batch.training.models import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
MOST_COUNTED = 30
"""Classes of a confusion matrix whose cells hold their counts; of more classes it is a heat map."""
MOST_NAMED = 60
"""Classes that are named in a figure; of more, a heat map numbers them, and bars are drawn of the worst."""
LARGEST = 16.0
"""Inches of a figure's side, whatever the number of classes."""
LONGEST_NAME = 32
"""Characters of a label that have room."""
LOOK: Mapping[str, Any] = {
    # Without these an SVG holds the time and random names, and its text is outlines of letters.
    "svg.hashsalt": "us8k",
    "svg.fonttype": "none",
    "font.size": 9,
    # A label is no formula.
    "text.parse_math": False,
}

logger = logging.getLogger(__name__)


def draw_figures(scores: Mapping[str, Any], classes: Sequence[str], folder: Path) -> list[str]:
    """Draw all figures of a run, each as PNG and SVG.

    Parameters
    ----------
    scores : mapping
        What is drawn, as `Scores.to_dict` gives it.
    classes : sequence of str
        Labels by code.
    folder : Path
        Where the files go; it exists.

    Returns
    -------
    list of str
        What could not be drawn, one line each, and why; nothing is raised for that.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "train", "drawing figures")
    failed = []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user has chosen for figures of his own
        families, lacking = _fonts("".join(map(shown, classes)))
        matplotlib.rcParams.update({**LOOK, "font.family": families})
        for name, draw in _FIGURES.items():
            try:
                with _quiet_about_glyphs():
                    _draw(draw, scores, classes, folder / name)
            except Exception as error:  # whatever a library meets in a label or a font costs its figure alone
                logger.debug("figure %s", name, exc_info=True)
                failed.append(f"figure {name} could not be drawn: {type(error).__name__}: {str(error)[:200]}")
                for suffix in SUFFIXES:
                    (folder / name).with_suffix(suffix).unlink(missing_ok=True)
    if lacking:
        failed.append(
            f"no font here has {' '.join(lacking[:10])}: PNG figures show boxes in their place, SVG figures and the "
            "page do not; install a font that has them, such as Noto"
        )
    return failed


def shown(label: str) -> str:
    """Return a label as figures write it: in one line, as long as there is room for, and of what can be seen."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in label)
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 9]}…{line[-8:]}"


def _fonts(text: str) -> tuple[list[str], list[str]]:
    """Return families that have the characters between them, and the characters that none here has."""
    from matplotlib import font_manager

    families = ["DejaVu Sans"]
    wanted = {letter for letter in text if not letter.isspace()}
    wanted -= _letters(font_manager.findfont(families[0]), wanted)
    for font in font_manager.fontManager.ttflist if wanted else ():
        usual = font.style == "normal" and font.weight in (400, "normal", "regular", "book")
        # The last resort has a box for every character, and no character.
        if usual and font.name not in families and not font.name.startswith("Last Resort"):
            found = _letters(font.fname, wanted)
            if found:
                families.append(font.name)
                wanted -= found
    return families, sorted(wanted)


def _letters(file: str, wanted: set[str]) -> set[str]:
    from matplotlib import font_manager

    with suppress(OSError, RuntimeError):  # a font that is broken, or of pictures, has none
        codes = font_manager.get_font(file).get_charmap()
        return {letter for letter in wanted if ord(letter) in codes}
    return set()


@contextmanager
def _quiet_about_glyphs() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def _draw(
    draw: Callable[[Axes, Mapping[str, Any], Sequence[str]], None],
    scores: Mapping[str, Any],
    classes: Sequence[str],
    stem: Path,
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = min(LARGEST, max(4.5, 0.45 * min(len(classes), MOST_NAMED) + 2.0))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot(), scores, classes)
    figure.savefig(stem.with_suffix(".png"), dpi=120, metadata={"Software": None})
    # Where all stands is decided by now; deciding it anew is half the time of a figure.
    figure.set_layout_engine("none")
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def _confusion(axes: Axes, scores: Mapping[str, Any], classes: Sequence[str]) -> None:
    counts = np.array(scores["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    names, numbered = [shown(name) for name in classes], ""
    if len(names) <= MOST_NAMED:
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) <= MOST_COUNTED else 90, ha="right")
        axes.set_yticks(range(len(names)), names)
    else:
        numbered = ", classes by number"
    for row, column in np.argwhere(counts) if len(names) <= MOST_COUNTED else ():
        shade = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=shade)
    title = f"Clips by class{numbered}, accuracy {100 * scores['accuracy_mean']:.1f} %"
    axes.set(xlabel="said", ylabel="right")
    axes.set_title(title, pad=20)  # above the bar, which may be higher than the matrix
    axes.figure.colorbar(image, ax=axes, label="share of the right class", shrink=0.8)


def _per_class(axes: Axes, scores: Mapping[str, Any], classes: Sequence[str]) -> None:
    told = [(name, scores["per_class"][name]) for name in classes]
    which = "Per class"
    if len(told) > MOST_NAMED:
        told = sorted(told, key=lambda one: one[1]["f1"])[:MOST_NAMED]
        which = f"The {MOST_NAMED} classes of {len(classes)} with the lowest F1"
    places = np.arange(len(told))
    for i, measure in enumerate(("precision", "recall", "f1")):
        values = [one[measure] or 0.0 for _, one in told]
        axes.barh(places + 0.27 * (i - 1), values, height=0.25, label=measure)
    axes.set_yticks(places, [shown(name) for name, _ in told])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="score", title=f"{which}, macro-F1 {scores['macro_f1']:.3f}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, fontsize=8)
    axes.grid(axis="x", alpha=0.3)


def _calibration(axes: Axes, scores: Mapping[str, Any], classes: Sequence[str]) -> None:  # noqa: ARG001  # as all
    bins = [one for one in scores["reliability"] if one["clips"]]
    total = sum(one["clips"] for one in bins)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="as sure as right")
    shares = [one["clips"] / total for one in bins]
    axes.bar([one["low"] + 0.05 for one in bins], shares, width=0.09, alpha=0.25, label="share of clips")
    confidences = [one["confidence"] or 0.0 for one in bins]
    axes.plot(confidences, [one["accuracy"] or 0.0 for one in bins], marker="o", label="this run")
    title = f"Calibration, error {scores['expected_calibration_error']:.3f}"
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title=title)
    axes.legend(loc="upper left", fontsize=8)


_FIGURES = {"confusion": _confusion, "per_class": _per_class, "calibration": _calibration}
