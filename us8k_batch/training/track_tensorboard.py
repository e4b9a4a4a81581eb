"""TensorBoard event files: ``tensorboard --logdir runs/tensorboard`` shows what was tracked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

EVENTS = "tensorboard"


class TensorBoardTracker:
    """One folder of event files."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        """Take what was asked for, as a table."""
        rows = [f"| {name} | {value} |" for name, value in values.items()]
        self._writer.add_text("parameters", "\n".join(["| parameter | value |", "|---|---|", *rows]))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take measured values."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, name: str, file: Path) -> None:
        """Take a PNG file."""
        import numpy as np
        from PIL import Image

        with Image.open(file) as image:
            self._writer.add_image(name, np.asarray(image.convert("RGB")), dataformats="HWC")

    def audio(self, name: str, file: Path) -> None:
        """Take a sound."""
        import soundfile

        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        self._writer.add_audio(name, samples, sample_rate=rate)

    def file(self, name: str, file: Path) -> None:
        """Note where a file is; event files hold none."""
        self._writer.add_text(f"files/{name}", str(file.absolute()))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def open_tracker(folder: Path, run: str) -> TensorBoardTracker:
    """Start event files in a folder of the run's name."""
    from tensorboardX import SummaryWriter

    return TensorBoardTracker(SummaryWriter(str(folder / EVENTS / run)))
