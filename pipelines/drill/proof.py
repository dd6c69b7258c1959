"""The proof of one restored version: its run in MLflow is there, and its service predicts what it predicted."""

from __future__ import annotations

from typing import Any

import httpx

from pipelines.artifacts import canonical_json
from pipelines.deployment.proof import ask
from pipelines.deployment.serve import private_service
from pipelines.drill.requests import Stored, golden_requests, logged_requests
from pipelines.drill.spec import DrillSpec
from pipelines.errors import BackupError
from pipelines.gateway.private import private_gateway
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger.rows import VersionRow
from pipelines.registry.tracking import quiet_mlflow
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import bring_newest_logs, resolve


def prove_version(spec: DrillSpec, live: Settings, restored: Settings, row: VersionRow) -> dict[str, Any]:
    """Serve a version from the restored home and send it what is stored.

    Parameters
    ----------
    live
        The home that the backup is of; it has the log of requests.
    restored
        The home that the backup was restored into.

    Returns
    -------
    dict
        ``model``, ``version``, ``golden`` and ``logged`` (requests repeated), ``rows`` of both, ``artifacts`` (entries
        of its run in MLflow; None: MLflow does not know it).

    Raises
    ------
    BackupError
        A prediction is not byte for byte what it was, or MLflow's artifacts are not there.
    DeployError
        The version cannot be opened or served.
    """
    opened = ModelDirectory.open(resolve(restored, row.model_uri), public_key(restored))
    golden = golden_requests(opened)
    logged = logged_requests(bring_newest_logs(live, row.model), opened, row.version, spec.requests)
    if not golden:
        raise BackupError(
            "a restored version has no golden predictions to repeat",
            where=f"{row.model} version {row.version}",
            expected="at least one row in golden.json",
            cure="run a night of the model: clean leaves example rows for it",
        )
    artifacts = artifacts_of(live, restored, row)
    with (
        private_service(restored, row.model, row.version, spec.ready_timeout) as address,
        private_gateway(restored, row.model, row.version, address) as client,
    ):
        differing = [fault for stored in (*golden, *logged) if (fault := _difference(client, row.model, stored))]
    if differing:
        raise BackupError(
            f"{len(differing)} of {len(golden) + len(logged)} stored requests got another prediction from what was "
            "restored",
            where=f"{row.model} version {row.version}",
            expected="byte for byte the stored one",
            cure="compare the libraries here with those its bento names; keep the backups before this one",
            faults=differing[:20],
        )
    return {
        "model": row.model,
        "version": row.version,
        "golden": len(golden),
        "logged": len(logged),
        "rows": sum(len(stored.rows) for stored in (*golden, *logged)),
        "artifacts": artifacts,
    }


def artifacts_of(live: Settings, restored: Settings, row: VersionRow) -> int | None:
    """Open the restored MLflow and count what the version's run logged; None: MLflow does not know the version.

    Raises
    ------
    BackupError
        The run is not there, or the live home has artifacts of it that the restored one does not find.
    """
    if row.mlflow_run is None or not (restored.mlflow_dir / "mlflow.db").is_file():
        return None
    mlflow = quiet_mlflow()
    api = mlflow.MlflowClient(tracking_uri=restored.mlflow_store, registry_uri=restored.mlflow_store)
    try:
        address = str(api.get_run(row.mlflow_run).info.artifact_uri)
        count = len(api.list_artifacts(row.mlflow_run))
    except mlflow.exceptions.MlflowException as error:
        address, count = f"{type(error).__name__}: {str(error).splitlines()[0]}", 0
    home = restored.mlflow_dir.as_uri()
    if not address.startswith(home) or (not count and (live.mlflow_dir / address.removeprefix(f"{home}/")).is_dir()):
        raise BackupError(
            "MLflow's artifacts of a restored version are not there",
            where=f"{row.model} version {row.version}, run {row.mlflow_run}",
            seen=f"{count} entries below {address}",
            expected=f"what was logged, below {restored.mlflow_dir}",
            cure="take a backup with BackupSpec.artifacts; the next night logs again what was removed in MLflow",
        )
    return count


def _difference(client: httpx.Client, model: str, stored: Stored) -> str | None:
    seen = ask(client, f"/v1/models/{model}", stored.rows)
    for number, (now, before) in enumerate(zip(seen, stored.predictions, strict=True)):
        if canonical_json(now) != canonical_json(before):
            return f"{stored.source}, row {number}: {canonical_json(now)}, stored {canonical_json(before)}"[:300]
    return None
