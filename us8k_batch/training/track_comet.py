"""Comet, offline: an archive that ``comet upload runs/comet/*.zip`` takes whenever there is a network and a key."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comet_ml import OfflineExperiment

ARCHIVES = "comet"
PROJECT = "us8k"
QUIET = {
    "COMET_DISABLE_AUTO_LOGGING": "1",  # it would change scikit-learn, XGBoost and Keras to log what they do
}


class CometTracker:
    """One offline experiment."""

    def __init__(self, experiment: OfflineExperiment) -> None:
        self._experiment = experiment

    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        """Take what was asked for."""
        self._experiment.log_parameters(dict(values))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take measured values."""
        self._experiment.log_metrics(dict(values), step=step)

    def image(self, name: str, file: Path) -> None:
        """Take a PNG file."""
        self._experiment.log_image(str(file), name=name)

    def audio(self, name: str, file: Path) -> None:
        """Take a sound."""
        self._experiment.log_audio(str(file), file_name=name)

    def file(self, name: str, file: Path) -> None:
        """Take any file."""
        self._experiment.log_asset(str(file), file_name=name)

    def close(self) -> None:
        """Write the archive."""
        self._experiment.end()


def open_tracker(folder: Path, run: str) -> CometTracker:
    """Start an experiment whose archive goes into a folder."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from comet_ml import OfflineExperiment

    logging.getLogger("comet_ml").setLevel(logging.ERROR)
    archives = folder / ARCHIVES
    archives.mkdir(exist_ok=True)
    experiment = OfflineExperiment(
        project_name=PROJECT,
        offline_directory=str(archives.absolute()),
        log_code=False,
        log_graph=False,
        log_git_metadata=False,
        log_git_patch=False,
        log_env_details=False,
        auto_param_logging=False,
        auto_metric_logging=False,
        auto_output_logging=None,
        parse_args=False,
        display_summary_level=0,
    )
    experiment.set_name(run)
    return CometTracker(experiment)
