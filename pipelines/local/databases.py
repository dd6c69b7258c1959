"""Prepares the databases of Airflow and MLflow before the platform's parts use them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

from pydantic import SecretStr

from pipelines.artifacts import write_json
from pipelines.errors import AimassError
from pipelines.local.components import components
from pipelines.local.templates import copy_template
from pipelines.settings import Settings
from pipelines.stages import HEAVY
from pipelines.storage.file_io import tail


def _silent(_: str) -> None:
    """Say nothing."""


def prepare_databases(settings: Settings, environment: dict[str, str], say: Callable[[str], None] = _silent) -> None:
    """Migrate the databases of Airflow and MLflow to the installed versions, unless that was done before.

    A machine does so for the parts that it runs; what several of them share, the first one migrates while others wait.
    """
    done = settings.run_dir / "prepared.json"
    here = {part.name.partition("-")[0] for part in components(settings)}
    known = {
        "airflow": (settings.airflow_database, settings.airflow_home, ["aimass_airflow.prepare", HEAVY, "1"]),
        "mlflow": (settings.mlflow_database, settings.mlflow_dir, ["pipelines.local.mlflow_store"]),
    }
    databases = {name: facts for name, facts in known.items() if name in here}
    files = {name: folder / f"{name}.db" for name, (address, folder, _) in databases.items() if address is None}
    now = {name: version(name) for name in ("apache-airflow-core", "mlflow")}
    now |= {f"address of {name}": digest(address) for name, (address, *_) in databases.items() if address is not None}
    if done.exists() and json.loads(done.read_text()) == now and all(path.exists() for path in files.values()):
        return
    with ThreadPoolExecutor(2) as pool:
        jobs = []
        for name, (_, _, command) in databases.items():
            if name not in files or files[name].exists() or not copy_template(name, files[name]):
                say(f"preparing the database of {name}")
                jobs.append(pool.submit(_prepare, settings, name, command, environment))
        for job in jobs:
            job.result()
    write_json(done, now)


def digest(address: SecretStr) -> str:
    """Return what tells one address from another, without its password."""
    return hashlib.sha256(address.get_secret_value().encode()).hexdigest()[:16]


def _prepare(settings: Settings, name: str, module: Sequence[str], environment: dict[str, str]) -> None:
    log = settings.logs / f"prepare-{name}.log"
    with log.open("wb") as stream:
        log.chmod(0o600)
        done = subprocess.run(
            [sys.executable, "-P", "-m", *module],
            env=environment,
            cwd=settings.home,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            umask=0o077,
            check=False,
        )
    if done.returncode:
        raise AimassError(
            f"the database of {name} cannot be prepared", where=str(log), seen=tail(log), cure="read the log file"
        )
