"""Reaching MLflow: its server when that responds, else its database directly. Telemetry off, short patience."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

import httpx

from pipelines.secret_files import secret
from pipelines.settings import Settings, make_private

if TYPE_CHECKING:
    from mlflow import MlflowClient

NIGHT_TAG = "aimass.night"
VERSION_TAG = "aimass.version"
DIGEST_TAG = "aimass.model_digest"
MODEL_TAG = "aimass.model"
"""Of an experiment and a registered model: whose they are, should somebody rename them."""
LOGGED_TAG = "aimass.logged_model"
"""Of a run: address of the model that it logged."""
LOGGED = "models:/"
"""How such an address begins."""
PROBE_SECONDS = 1.0
USER = "aimass"
TOKEN = "mlflow_token"  # noqa: S105 - the name of a file, not its content
"""Under which name programs of a home log in to its MLflow server, and the secret's file."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

log = logging.getLogger(__name__)


def login(settings: Settings) -> tuple[str, str]:
    """Return user and token of the home's own programs at its MLflow server; the token is a 0600 file."""
    return USER, secret(settings, TOKEN)


def tracking_uri(settings: Settings) -> str:
    """Return the server's address if it responds and is this home's, else the address of its database.

    A server of another home on the same port is never used, nor told this home's login: the database is. A server that
    the settings name is the one of all machines, whether it responds now or not.
    """
    if settings.mlflow_address is not None:
        return settings.mlflow_uri
    try:
        with httpx.Client(
            base_url=settings.mlflow_uri, timeout=PROBE_SECONDS, trust_env=False, verify=settings.trusted
        ) as http:
            response = http.get("/health")
            if response.status_code == 200 and response.text.strip() == "OK":
                other = foreign_home(settings)
                refused = "" if other else _refused(http.get("/version", auth=login(settings)))
                if not other and not refused:
                    return settings.mlflow_uri
                log.warning(
                    f"the MLflow server on port {settings.mlflow_port} "
                    + (
                        f"is that of {other}, not of {settings.home}"
                        if other
                        else f"does not know this home: {refused}"
                    )
                    + ": the database of this home is used; give this home a port of its own (AIMASS_MLFLOW_PORT)"
                )
    except httpx.HTTPError:
        pass  # the server is not running: the database is used directly
    make_private(settings.mlflow_dir)
    return settings.mlflow_store


def _refused(response: httpx.Response) -> str:
    """Return what a server says that does not take the login of this home; empty if it does."""
    if response.status_code not in (401, 403):
        return ""
    try:
        return str(response.json()["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"


def foreign_home(settings: Settings) -> str:
    """Return whose process listens on MLflow's port if it is not this home's: a home, or a user; empty if it is ours.

    The platform's parts carry their home in their environment; a server without one was started by hand, and is
    trusted if it is this user's.
    """
    import psutil

    trusted = {os.geteuid(), settings.home.stat().st_uid} if settings.home.exists() else {os.geteuid()}
    listening = [
        each
        for each in psutil.net_connections(kind="tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == settings.mlflow_port
    ]
    for each in listening:
        try:
            process = psutil.Process(each.pid) if each.pid else None
            home = None if process is None else process.environ().get("AIMASS_HOME")
            if process is not None and process.uids().effective not in trusted:
                process = None
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            process = None
        if process is None:
            return "another user"
        if home is not None and os.path.realpath(home) != os.path.realpath(settings.home):
            return str(home)
    return ""


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
    if uri == settings.mlflow_uri:  # MLflow reads them with each call
        os.environ.update(zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), login(settings), strict=True))
        if settings.tls_ca is not None:
            os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(settings.tls_ca)
    made: MlflowClient = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    return made


def experiment_id(settings: Settings, api: MlflowClient, model: str) -> str:
    """Return the model's experiment, made on first use with its artifacts in a folder that needs no server.

    Where other machines use the same server, it keeps the artifacts itself: a folder of one machine is none of theirs.

    One that somebody deleted is restored with its runs, one that somebody renamed gets its name back.
    """
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    found = api.get_experiment_by_name(model)
    if found is None:
        marked = api.search_experiments(ViewType.ALL, filter_string=f"tags.`{MODEL_TAG}` = '{model}'")
        found = next(iter(marked), None)
    if found is None:
        place = None
        if settings.mlflow_address is None:
            place = make_private(settings.mlflow_dir / "artifacts" / model).as_uri()
        try:
            made = api.create_experiment(model, artifact_location=place, tags={MODEL_TAG: model})
            return str(made)
        except MlflowException:
            found = api.get_experiment_by_name(model)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        api.restore_experiment(found.experiment_id)
    if found.name != model:
        api.rename_experiment(found.experiment_id, model)
    if found.tags.get(MODEL_TAG) != model:
        api.set_experiment_tag(found.experiment_id, MODEL_TAG, model)
    return str(found.experiment_id)


def name_back(api: MlflowClient, model: str) -> None:
    """Give a registered model its name back if somebody renamed it."""
    if api.search_registered_models(f"name='{model}'"):
        return
    for renamed in api.search_registered_models(f"tags.`{MODEL_TAG}` = '{model}'")[:1]:
        api.rename_registered_model(renamed.name, model)


def runs_of_version(api: MlflowClient, experiment: str, version: int) -> list[Any]:
    """Return the runs of a version, deleted ones too."""
    from mlflow.entities import ViewType

    wanted = f"tags.`{VERSION_TAG}` = '{version}'"
    return list(api.search_runs([experiment], filter_string=wanted, run_view_type=ViewType.ALL))


def is_whole(api: MlflowClient, run_id: str) -> bool:
    """Tell whether a run has ended and its logged model is there; a run that somebody deleted is restored."""
    from mlflow.exceptions import MlflowException

    try:
        run = api.get_run(run_id)
        uri = run.data.tags.get(LOGGED_TAG)
        if not uri:
            return False
        api.get_logged_model(uri.removeprefix(LOGGED))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    if run.info.lifecycle_stage != "active":
        api.restore_run(run_id)
    return True


def version_of_night(api: MlflowClient, model: str, night: str) -> Any | None:
    """Return the MLflow version that a night registered, if it did."""
    from mlflow.exceptions import MlflowException

    try:
        known = api.search_model_versions(f"name='{model}'", max_results=10_000)
    except MlflowException:
        return None
    return next((item for item in known if item.tags.get(NIGHT_TAG) == night), None)
