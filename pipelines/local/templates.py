"""Migrated, empty databases of Airflow and MLflow, kept beside the environment: a new home starts from a copy.

``python -m pipelines.local.templates`` makes those that are missing; `make env` does so once. Where there are none,
databases are migrated when they are needed, which takes seconds instead of milliseconds.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from pipelines.local.airflow_config import airflow_environment
from pipelines.settings import Settings
from pipelines.stages import HEAVY
from pipelines.trial_home import load_private

PACKAGES = {"airflow": "apache-airflow-core", "mlflow": "mlflow"}


def template(name: str) -> Path:
    """Return the path of the template of the installed version, whether it exists or not."""
    return Path(sys.prefix) / "share" / "aimass" / f"{name}-{version(PACKAGES[name])}.db"


def copy_template(name: str, target: Path) -> bool:
    """Copy the template to ``target`` unless a database exists; tell whether one exists now."""
    source = template(name)
    if target.exists() or not source.is_file():
        return target.exists()
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    shutil.copyfile(source, partial)
    partial.chmod(0o600)
    try:
        os.link(partial, target)  # of two at once the first wins
    except FileExistsError:
        return True
    finally:
        partial.unlink()
    return True


def make(name: str) -> Path:
    """Migrate a fresh database and keep it as the template."""
    path = template(name)
    with tempfile.TemporaryDirectory(prefix="aimass-template-") as folder:
        settings = load_private(Path(folder) / "home", Path(folder) / "dags").ensure()
        database, command, environment = _recipe(name, settings)
        subprocess.run(
            [sys.executable, "-P", "-m", *command],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
        )
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{secrets.token_hex(4)}")
        shutil.copyfile(database, partial)
        partial.replace(path)
    return path


def _recipe(name: str, settings: Settings) -> tuple[Path, list[str], dict[str, str]]:
    if name == "mlflow":
        environment = {**os.environ, "AIMASS_HOME": str(settings.home)}
        return settings.mlflow_dir / "mlflow.db", ["pipelines.local.mlflow_store"], environment
    environment = airflow_environment(settings, home=settings.airflow_home, dags=settings.dags)
    return settings.airflow_home / "airflow.db", ["aimass_airflow.prepare", HEAVY, "1"], environment


def main() -> int:
    """Make the templates that are missing, side by side."""
    missing = [name for name in PACKAGES if not template(name).exists()]
    with ThreadPoolExecutor(len(PACKAGES)) as pool:
        jobs = {name: pool.submit(make, name) for name in missing}
    code = 0
    for name, job in jobs.items():
        error = job.exception()
        if isinstance(error, subprocess.CalledProcessError):
            sys.stderr.write(f"no template database of {name}: {error.output.decode(errors='replace')[-2000:]}\n")
            code = 1
        elif error is not None:
            raise error
    return code


if __name__ == "__main__":
    sys.exit(main())
