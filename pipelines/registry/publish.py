"""Writes one night's run and registered version into MLflow, exactly one of each however often it is retried.

What somebody deleted or renamed there is restored, or made again where it is gone for good. MLflow then counts anew:
which number of the ledger a version has is in its tag.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.inference.members.registry import runtimes
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor
from pipelines.inference.sources import PACKAGE, copy_inference
from pipelines.registry.tracking import (
    LOGGED,
    LOGGED_TAG,
    MODEL_TAG,
    NIGHT_TAG,
    VERSION_TAG,
    client,
    experiment_id,
    is_whole,
    name_back,
    quiet_mlflow,
    runs_of_version,
    version_of_night,
)
from pipelines.secret_files import public_key
from pipelines.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

REQUIREMENTS = ("cryptography", "lightgbm", "mlflow", "numpy", "pandas", "pyarrow", "pydantic", "scipy")
PARAM_LIMIT = 6_000
CARD, CARD_TAG = "evaluation/card.html", "aimass.card"
"""Where a version's model card lies among the run's artifacts, and the tag that says so."""


@dataclass(frozen=True)
class Publication:
    """What one night tells MLflow.

    Parameters
    ----------
    model, night, version
        Names of the model and the night, and the version number in the ledger.
    opened
        The stored model directory.
    evaluation
        Folder that evaluate left: ``card.html``, ``metrics.json``, ``verdict.json``, ``plots/``.
    metrics, params, tags
        Numbers, settings and labels of the run; the tags go to the version too.
    lineage
        Refs of the stages before, by name; logged whole.
    """

    model: str
    night: str
    version: int
    opened: ModelDirectory
    evaluation: Path
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    lineage: Mapping[str, Any]


def publish(settings: Settings, what: Publication) -> tuple[str, str]:
    """Log the run and register the version, or adopt those that are there; return run id and MLflow version."""
    api = client(settings)
    experiment = experiment_id(settings, api, what.model)
    name_back(api, what.model)
    found = version_of_night(api, what.model, what.night)
    if found is not None:
        if is_whole(api, found.run_id):
            return str(found.run_id), str(found.version)
        api.delete_model_version(what.model, str(found.version))  # what it was made of is gone for good
    tags = {**what.tags, NIGHT_TAG: what.night, VERSION_TAG: str(what.version)}
    if (what.evaluation / Path(CARD).name).is_file():
        tags[CARD_TAG] = CARD
    run_id, model_uri = _run_of_night(settings, api, what, tags, experiment)
    _ensure_registered(api, what.model)
    registered = api.create_model_version(
        what.model,
        model_uri,
        run_id=run_id,
        tags=tags,
        model_id=model_uri.removeprefix(LOGGED),
        description=str(what.tags.get("aimass.sentence", "")) or None,
    )
    return run_id, str(registered.version)


def _run_of_night(
    settings: Settings, api: MlflowClient, what: Publication, tags: dict[str, str], experiment: str
) -> tuple[str, str]:
    for run in runs_of_version(api, experiment, what.version):
        if run.data.tags.get(NIGHT_TAG) != what.night:
            continue
        if is_whole(api, run.info.run_id):  # finished but for its registration
            return str(run.info.run_id), str(run.data.tags[LOGGED_TAG])
        if run.info.lifecycle_stage == "active":
            api.delete_run(run.info.run_id)  # an attempt that was cut short, or one whose model is gone
    mlflow = quiet_mlflow()
    mlflow.set_tracking_uri(api.tracking_uri)
    mlflow.set_registry_uri(api.tracking_uri)
    with mlflow.start_run(experiment_id=experiment, run_name=f"v{what.version} {what.night}", tags=tags) as run:
        mlflow.log_params({name: text[:PARAM_LIMIT] for name, text in what.params.items()})
        mlflow.log_metrics(dict(what.metrics))
        mlflow.log_dict(json.loads(json.dumps(what.lineage, default=str)), "lineage.json")
        if what.evaluation.is_dir():
            mlflow.log_artifacts(str(what.evaluation), "evaluation")
        uri = _log_model(settings, mlflow, what.opened)
        mlflow.set_tag(LOGGED_TAG, uri)
        return str(run.info.run_id), uri


def _log_model(settings: Settings, mlflow: Any, opened: ModelDirectory) -> str:
    """Log the pyfunc model: code, model directory, signature, example, exact requirements; nothing is run by pip."""
    predictor = opened.predictor
    example = _example(predictor)
    packages = sorted({*REQUIREMENTS, *runtimes(opened.facts)})
    with tempfile.TemporaryDirectory(prefix="aimass-mlflow-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints on type annotations and integer columns; ours are settled by the recipe
        code = copy_inference(Path(scratch) / "code")
        key = Path(scratch) / "public_key"
        key.write_bytes(public_key(settings))
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PACKAGE / "registry" / "pyfunc_model.py"),
            artifacts={"model": str(opened.path), "public_key": str(key)},
            code_paths=[str(code)],
            pip_requirements=[f"{name}=={installed(name)}" for name in packages],
            signature=mlflow.models.infer_signature(example, predictor.predict_frame(example)),
            input_example=example,
        )
    return str(info.model_uri)


def _example(predictor: Predictor) -> Any:
    """Return a request row as a frame whose columns carry one plain type each: text, or float with NaN for missing."""
    import pandas as pd

    row = predictor.golden["rows"][0] if predictor.golden["rows"] else predictor.schema.example
    cells: dict[str, Any] = {}
    for column in predictor.schema.names:
        value = row.get(column)
        if isinstance(value, int | float) and not isinstance(value, bool):
            cells[column] = pd.Series([float(value)])
        else:
            cells[column] = pd.Series(["" if value is None else str(value)])
    return pd.DataFrame(cells)


def _ensure_registered(api: MlflowClient, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        api.create_registered_model(model, tags={MODEL_TAG: model})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
