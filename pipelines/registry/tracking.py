"""Reaching MLflow: its server when that responds, else its database directly. Telemetry off, short patience."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

import httpx

from pipelines.settings import Settings, make_private

if TYPE_CHECKING:
    from mlflow import MlflowClient

NIGHT_TAG = "aimass.night"
VERSION_TAG = "aimass.version"
PROBE_SECONDS = 1.0
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tracking_uri(settings: Settings) -> str:
    """Return the server's address if ``/health`` responds, else the address of its database."""
    try:
        response = httpx.get(f"{settings.mlflow_uri}/health", timeout=PROBE_SECONDS, trust_env=False)
        if response.status_code == 200 and response.text.strip() == "OK":
            return settings.mlflow_uri
    except httpx.HTTPError:
        pass  # the server is not running: the database is used directly
    make_private(settings.mlflow_dir)
    return settings.mlflow_store


def quiet_mlflow() -> Any:
    """Import MLflow with its telemetry, progress bars and chatter off, and return the module."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # MLflow's own models use a loader that SQLAlchemy 2.1 announces to remove; nothing to be done here.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def client(settings: Settings) -> MlflowClient:
    """Return a client of the tracking store and the registry; touches no global state of MLflow."""
    mlflow = quiet_mlflow()
    uri = tracking_uri(settings)
    made: MlflowClient = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    return made


def experiment_id(settings: Settings, api: MlflowClient, model: str) -> str:
    """Return the model's experiment, made on first use with its artifacts in a folder that needs no server."""
    found = api.get_experiment_by_name(model)
    if found is not None:
        return str(found.experiment_id)
    from mlflow.exceptions import MlflowException

    folder = make_private(settings.mlflow_dir / "artifacts" / model)
    try:
        return str(api.create_experiment(model, artifact_location=folder.as_uri()))
    except MlflowException:
        found = api.get_experiment_by_name(model)  # another process was faster
        if found is None:
            raise
        return str(found.experiment_id)


def version_of_night(api: MlflowClient, model: str, night: str) -> Any | None:
    """Return the MLflow version that a night registered, if it did."""
    from mlflow.exceptions import MlflowException

    try:
        known = api.search_model_versions(f"name='{model}'", max_results=10_000)
    except MlflowException:
        return None
    return next((item for item in known if item.tags.get(NIGHT_TAG) == night), None)
