"""MLflow on SQLite: ``mlflow ui --backend-store-uri sqlite:///runs/mlflow.db`` shows what was tracked."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DATABASE = "mlflow.db"
FILES = "mlflow-files"
EXPERIMENT = "us8k"


class MlflowTracker:
    """One MLflow run."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def parameters(self, values: Mapping[str, str | int | float]) -> None:
        """Take what was asked for."""
        from mlflow.entities import Param

        self._client.log_batch(self._run_id, params=[Param(name, str(value)) for name, value in values.items()])

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take measured values."""
        from mlflow.entities import Metric

        logged = [Metric(name, float(value), 0, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=logged)

    def image(self, name: str, file: Path) -> None:  # noqa: ARG002  # an artifact has its file's name
        """Take a PNG file."""
        self._client.log_artifact(self._run_id, str(file), "images")

    def audio(self, name: str, file: Path) -> None:  # noqa: ARG002  # an artifact has its file's name
        """Take a sound."""
        self._client.log_artifact(self._run_id, str(file), "audio")

    def file(self, name: str, file: Path) -> None:
        """Take any file."""
        self._client.log_artifact(self._run_id, str(file), name.rpartition("/")[0] or None)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run_id)


def open_tracker(folder: Path, run: str) -> MlflowTracker:
    """Start an MLflow run in a database in a folder."""
    # Read when MLflow is imported; otherwise it tells its makers.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient

    # After the import, which sets them to say more.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    folder = folder.absolute()
    uri = f"sqlite:///{folder / DATABASE}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        experiment_id = client.create_experiment(EXPERIMENT, artifact_location=(folder / FILES).as_uri())
    else:
        experiment_id = found.experiment_id
    return MlflowTracker(client, client.create_run(experiment_id, run_name=run).info.run_id)
