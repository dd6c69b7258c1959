"""Builds the environment that Airflow's parts run with; it holds no secret."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.child_environment import as_environment, variable
from pipelines.local.executors import LOCAL, PARALLELISM, platform_options
from pipelines.secret_files import secret, write_once
from pipelines.settings import Settings, make_private

USER = "admin"
MARK = "AIMASS_PLATFORM"
QUIET = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "GX_ANALYTICS_ENABLED": "False",
    "SCARF_ANALYTICS": "false",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
"""Variables that turn the telemetry of every library off."""


def password_file(settings: Settings) -> Path:
    """Return the 0600 file with the passwords of Airflow's users, made on first use; a new user is added."""
    path = make_private(settings.secrets) / "airflow_passwords.json"
    if not path.exists():
        write_once(path, json.dumps({USER: secret(settings, "airflow_password")}) + "\n")
    known = json.loads(path.read_text())
    if missing := [name for name, _ in further_users(settings) if name not in known]:
        added = {name: secret(settings, f"airflow_password_{name}") for name in missing}
        write_atomic(path, json.dumps({**known, **added}) + "\n", mode=0o600)
    return path


def further_users(settings: Settings) -> list[tuple[str, str]]:
    """Return name and role of each user besides the one that this installation uses itself."""
    pairs = [user.split(":") for user in settings.airflow_users.split(",") if user]
    return [(name, role) for name, role in pairs if name != USER]


def fernet_file(settings: Settings) -> Path:
    """Return the 0600 file with the key that Airflow encrypts connections with: 32 bytes in padded base64."""
    path = make_private(settings.secrets) / "airflow_fernet.key"
    if not path.exists():
        write_once(path, secret(settings, "airflow_fernet") + "=")
    return path


def secret_command(settings: Settings, name: str) -> str:
    """Return the command by which Airflow reads a secret from its 0600 file."""
    secret(settings, name)
    return f"cat {shlex.quote(str(settings.secrets / name))}"


def inherited(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the caller's environment without variables that configure another Airflow."""
    source = os.environ if environ is None else environ
    return {name: value for name, value in source.items() if "AIRFLOW" not in name or name.startswith("AIMASS_")}


def common_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that all parts share: settings, quiet libraries, this environment first on PATH."""
    environment = inherited()
    for name in (name for name, value in settings if value is None):
        environment.pop(variable(name), None)  # a trial's home has none of what the caller's environment says
        environment.pop(f"{variable(name)}_FILE", None)
    environment |= QUIET | as_environment(settings)
    environment.update(
        AIMASS_DAGS_FOLDER=str(settings.dags),
        BENTOML_HOME=str(settings.bentoml_home),
        PATH=os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]),
        PYTHONUNBUFFERED="1",
        SPT_NOENV="1",
        TZ="UTC",
    )
    return environment


def airflow_environment(settings: Settings, *, home: Path, dags: Path, port: int | None = None) -> dict[str, str]:
    """Return the environment of one Airflow.

    Parameters
    ----------
    settings
        Of this installation.
    home
        AIRFLOW_HOME: database, logs and configuration of this Airflow.
    dags
        Folder with DAG files, or one DAG file.
    port
        Port of the API server; None for an Airflow without one (`--local`), which has a database of its own.

    Raises
    ------
    SpecError
        The executor needs what the settings do not name.
    """
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(dags), "refresh_interval": 5},
    }
    options = {
        "core.dags_folder": str(dags),
        "core.plugins_folder": str(home / "plugins"),
        "core.executor": LOCAL,
        "core.parallelism": str(PARALLELISM),
        "core.load_examples": "False",
        "core.default_timezone": "utc",
        "core.dags_are_paused_at_creation": "False",
        "core.simple_auth_manager_users": ",".join(
            f"{name}:{role}" for name, role in [(USER, "admin"), *further_users(settings)]
        ),
        "core.simple_auth_manager_all_admins": "False",
        "core.simple_auth_manager_passwords_file": str(password_file(settings)),
        "core.fernet_key_cmd": f"cat {shlex.quote(str(fernet_file(settings)))}",
        "database.sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}",
        "database.load_default_connections": "False",
        "logging.base_log_folder": str(home / "logs"),
        "logging.dag_processor_child_process_log_directory": str(home / "logs" / "dag_processor"),
        "logging.logging_level": "INFO",
        "logging.json_logs": str(settings.log_format == "json"),
        "api_auth.jwt_secret_cmd": secret_command(settings, "airflow_jwt"),
        "api.secret_key_cmd": secret_command(settings, "airflow_api"),
        "api.host": settings.host,
        "api.workers": "1",
        "api.expose_config": "False",
        "scheduler.scheduler_idle_sleep_time": "0.2",
        "scheduler.catchup_by_default": "False",
        "scheduler.task_instance_heartbeat_timeout": "90",
        "workers.max_failed_heartbeats": "20",
        "dag_processor.dag_bundle_config_list": json.dumps([bundle]),
        "dag_processor.refresh_interval": "5",
        "dag_processor.min_file_process_interval": "60",
        "dag_processor.bundle_refresh_check_interval": "2",
        "dag_processor.parsing_processes": "1",
        "triggerer.capacity": "10",
    }
    if port is not None:
        options |= platform_options(settings, port)
        if "database.sql_alchemy_conn_cmd" in options:
            del options["database.sql_alchemy_conn"]
    environment = common_environment(settings)
    environment["AIRFLOW_HOME"] = str(home)
    for name, value in options.items():
        section, option = name.split(".")
        environment[f"AIRFLOW__{section.upper()}__{option.upper()}"] = value
    return environment
