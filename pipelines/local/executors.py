"""What Airflow's executor and a database elsewhere add to its configuration, and what is refused."""

from __future__ import annotations

import os
import shlex
import socket
import ssl
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from pipelines.errors import SpecError
from pipelines.settings import Settings
from pipelines.several_hosts import file_of

LOCAL, KUBERNETES = "LocalExecutor", "KubernetesExecutor"
PROVIDER = "apache-airflow-providers-cncf-kubernetes"
IN_CLUSTER = "kubernetes"
"""``AIMASS_PLATFORM`` where Airflow's chart runs the parts of Airflow."""
STORED_LOGS = "aimass_airflow.task_logs.LOGGING_CONFIG"
PARALLELISM = 4
"""Tasks that one machine runs at once; the pool of heavy ones has fewer slots."""
WORKER = "celery-worker"
"""Part of the platform that takes tasks from the broker."""
EVERYWHERE = 64
"""Tasks that all workers together run at once."""
VISIBLE_SECONDS = 7 * 24 * 3600
"""After so long the broker hands out a task again that no worker has acknowledged; longer than any task may take."""


def platform_options(settings: Settings, port: int) -> dict[str, str]:
    """Return the options of an Airflow with an API server, by ``section.name``.

    Raises
    ------
    SpecError
        The executor needs what the settings do not name.
    """
    require_shared(settings)
    address = settings.model_copy(update={"airflow_port": port}).airflow_url
    options = {
        "api.port": str(port),
        "api.base_url": address,
        "core.execution_api_server_url": f"{address}/execution/",
        "core.executor": settings.executor,
    }
    if settings.tls_cert is not None and settings.tls_key is not None:
        options |= {"api.ssl_cert": str(settings.tls_cert), "api.ssl_key": str(settings.tls_key)}
    if settings.tls_ca is not None:
        options["api.ssl_ca_file"] = str(settings.tls_ca)
    if settings.airflow_database is not None:
        options |= _secret("database.sql_alchemy_conn", "airflow_database", settings.airflow_database)
    if settings.executor == KUBERNETES:
        options |= _of_pods(settings)
    if settings.executor == "CeleryExecutor" and settings.celery_broker is not None:
        options |= _secret("celery.broker_url", "celery_broker", settings.celery_broker)
        options["core.parallelism"] = str(EVERYWHERE)
        options["logging.logging_config_class"] = STORED_LOGS
        options["celery_broker_transport_options.visibility_timeout"] = str(VISIBLE_SECONDS)
        if settings.celery_broker.get_secret_value().startswith("rediss://"):
            options |= {"celery.ssl_active": "True", "celery.ssl_mutual_tls": "False", "celery.ssl_key": ""}
            options |= {"celery.ssl_cert": "", "celery.ssl_cacert": str(settings.tls_ca or "")}
    return options


def _of_pods(settings: Settings) -> dict[str, str]:
    """Return what the scheduler needs to run each task in a pod, here or in the cluster itself."""
    return {
        "kubernetes_executor.pod_template_file": str(settings.pod_template),
        "kubernetes_executor.namespace": settings.pod_namespace,
        "kubernetes_executor.in_cluster": str("KUBERNETES_SERVICE_HOST" in os.environ),
        "core.parallelism": str(EVERYWHERE),
        "logging.logging_config_class": STORED_LOGS,
    }


def missing_provider(executor: str) -> str:
    """Return what is not installed of what an executor of Airflow needs; empty: nothing is missing."""
    if "Kubernetes" not in executor:
        return ""
    try:
        version(PROVIDER)
    except PackageNotFoundError:
        return f"{PROVIDER} is not installed: pip install 'aimass[cluster]'"
    return ""


def require_shared(settings: Settings) -> None:
    """Refuse an executor of several machines on what only one machine has.

    Raises
    ------
    SpecError
        Airflow's database or the ledger is SQLite, there is no broker or no pod, or the provider of Kubernetes is not
        installed; names all that is missing.
    """
    if settings.executor == LOCAL:
        return
    faults = []
    if settings.airflow_database is None:
        faults.append("Airflow's database is SQLite, a file of this machine: set AIMASS_AIRFLOW_DATABASE")
    if settings.ledger_address.startswith("sqlite"):
        faults.append("the ledger is SQLite, a file of this machine: set AIMASS_LEDGER_URL")
    if settings.executor == "CeleryExecutor" and settings.celery_broker is None:
        faults.append("no broker brings tasks to the workers: set AIMASS_CELERY_BROKER")
    chart = os.environ.get("AIMASS_PLATFORM") == IN_CLUSTER  # which has a pod of its own
    template = settings.pod_template is not None and settings.pod_template.is_file()
    if settings.executor == KUBERNETES and not (chart or template):
        faults.append(f"no pod to make those of tasks from, seen {settings.pod_template}: set AIMASS_POD_TEMPLATE")
    if missing := missing_provider(settings.executor):
        faults.append(missing)
    if faults:
        raise SpecError(
            f"{settings.executor} needs what all its machines reach",
            where="AIMASS_EXECUTOR",
            seen=settings.executor,
            expected="PostgreSQL for Airflow and for the ledger, and "
            + ("a pod and Airflow's provider of Kubernetes" if settings.executor == KUBERNETES else "Redis or Valkey"),
            cure="set what is missing, or AIMASS_EXECUTOR=LocalExecutor",
            faults=faults,
        )


def worker_name() -> str:
    """Return the name by which other machines know this one's worker."""
    return f"aimass@{socket.gethostname()}"


def worker_responds(settings: Settings, seconds: float = 1.0) -> bool:
    """Ask this machine's worker through the broker whether it takes tasks."""
    from celery import Celery
    from kombu.exceptions import OperationalError

    if settings.celery_broker is None:
        return False
    with Celery(broker=settings.celery_broker.get_secret_value(), set_as_current=False) as app:
        if settings.celery_broker.get_secret_value().startswith("rediss://"):
            app.conf.broker_use_ssl = tls_of(settings)
        with suppress(OSError, OperationalError):
            return bool(app.control.ping(destination=[worker_name()], timeout=seconds))
    return False


def tls_of(settings: Settings) -> dict[str, Any]:
    """Return how a client of Redis checks the server's certificate."""
    authorities = {} if settings.tls_ca is None else {"ssl_ca_certs": str(settings.tls_ca)}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **authorities}


def _secret(option: str, name: str, value: SecretStr) -> dict[str, str]:
    """Return an option with a password: where a file holds it, Airflow reads that file itself."""
    path = file_of(name)
    return {option: value.get_secret_value()} if path is None else {f"{option}_cmd": reading(path)}


def reading(path: Path) -> str:
    """Return the command that prints a file without the end of its last line."""
    return shlex.join(["sed", "-z", "s/\\n*$//", str(path)])
