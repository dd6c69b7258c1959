"""Copies what goes into a backup: the ledger first, then everything that its copy names."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from pipelines.backup import copying
from pipelines.backup.spec import BackupSpec
from pipelines.errors import BackupError, DataError, DeployError
from pipelines.inference.manifest import verify_manifest
from pipelines.settings import Settings, public_key
from pipelines.storage import MANIFEST, file_sha256, verify

ROUNDS = 3


class CopiedFile:
    """One backup in the making."""

    def __init__(self, settings: Settings, spec: BackupSpec, folder: Path) -> None:
        self.settings, self.spec, self.folder = settings, spec, folder
        self.files: dict[str, dict[str, Any]] = {}
        self.databases: list[str] = []
        self.models: list[str] = []
        self.damaged: list[str] = []

    def everything(self) -> list[str]:
        """Copy all parts; return the databases that do not exist."""
        absent = []
        ledger = self._ledger_and_models()
        for source in (self.settings.airflow_home / "airflow.db", self.settings.mlflow_dir / "mlflow.db"):
            if source.is_file():
                self._database(source, f"home/{source.relative_to(self.settings.home).as_posix()}")
            else:
                absent.append(source.relative_to(self.settings.home).as_posix())
        if self.spec.bentos:
            self._bentos(ledger)
        if self.spec.history:
            self._history()
        if self.spec.project:
            self._project()
        return absent

    def _ledger_and_models(self) -> Path:
        source = ledger_file(self.settings)
        wanted: set[str] = set()
        for _ in range(ROUNDS):
            copy = self._database(source, "home/ledger.db")
            wanted = _named(copy, "model_uri")
            root = self.settings.storage / "models"
            present = {f"models/{path.relative_to(root).as_posix()}" for path in root.glob("*/*") if path.is_dir()}
            for uri in sorted(present - set(self.models)):
                self._model(uri)
            if wanted <= set(self.models):
                break  # otherwise one was deleted meanwhile, or is damaged: look at the ledger again
        broken = {fault.split(":")[0] for fault in self.damaged}
        self.damaged = [fault for fault in self.damaged if fault.split(":")[0] in wanted]
        self.damaged += [f"{uri}: missing" for uri in sorted(wanted - set(self.models) - broken)]
        return copy

    def _database(self, source: Path, name: str) -> Path:
        target = self.folder / name
        target.unlink(missing_ok=True)
        copying.copy_database(source, target)
        self.files[name] = {"sha256": file_sha256(target), "bytes": target.stat().st_size}
        if name not in self.databases:
            self.databases.append(name)
        return target

    def _model(self, uri: str) -> None:
        source = self.settings.storage / uri
        target = self.folder / "home" / "storage" / uri
        try:
            entries = self._tree(source, target)
            verify_manifest(target, public_key(self.settings))
        except (FileNotFoundError, DeployError) as error:
            shutil.rmtree(target, ignore_errors=True)
            if source.is_dir() and not any(fault.startswith(f"{uri}:") for fault in self.damaged):
                self.damaged.append(f"{uri}: {str(error).splitlines()[0]}")
            return
        self.files.update(entries)
        self.models.append(uri)

    def _bentos(self, ledger: Path) -> None:
        """Copy the bentos that the ledger names; one that is gone can be built again from its model directory."""
        for uri in sorted(_named(ledger, "bento_uri")):
            source = self.settings.bentoml_home / "bentos" / uri.replace(":", "/")
            if source.is_dir() and source.resolve().is_relative_to(self.settings.bentoml_home.resolve()):
                target = self.folder / "home" / source.relative_to(self.settings.home)
                try:
                    entries = self._tree(source, target)
                    verify_manifest(target, public_key(self.settings))
                    self.files.update(entries)
                except (FileNotFoundError, DeployError) as error:
                    shutil.rmtree(target, ignore_errors=True)
                    if source.is_dir():
                        self.damaged.append(f"bento {uri}: {str(error).splitlines()[0]}")

    def _history(self) -> None:
        """Copy the increments of all sources; they are published whole and never change."""
        root = self.settings.storage / "history"
        for source in sorted(path.parent for path in root.glob(f"*/*/*/{MANIFEST}")):
            target = self.folder / "home" / source.relative_to(self.settings.home)
            try:
                entries = self._tree(source, target)
                verify(target)
                self.files.update(entries)
            except (FileNotFoundError, DataError) as error:
                shutil.rmtree(target, ignore_errors=True)
                name = f"history {source.relative_to(root).as_posix()}"
                self.damaged.append(f"{name}: {str(error).splitlines()[0]}")
        for index in sorted(root.glob("*/*/*.json")):
            name = f"home/{index.relative_to(self.settings.home).as_posix()}"
            self.files[name] = copying.copy_file(index, self.folder / name)

    def _project(self) -> None:
        dags = self.settings.dags
        suites = dags.parent / "expectations"
        chosen = sorted(dags.glob("*.py")) + (sorted(suites.rglob("*.json")) if suites.is_dir() else [])
        for source in chosen:
            if source.is_file() and not source.is_symlink():
                name = f"project/{source.relative_to(dags.parent).as_posix()}"
                self.files[name] = copying.copy_file(source, self.folder / name)

    def _tree(self, source: Path, target: Path) -> dict[str, dict[str, Any]]:
        entries = {}
        for path in copying.files_below(source):
            target_path = target / path.relative_to(source)
            entries[target_path.relative_to(self.folder).as_posix()] = copying.copy_file(path, target_path)
        return entries


def ledger_file(settings: Settings) -> Path:
    """Return the file of the SQLite ledger.

    Raises
    ------
    BackupError
        If the ledger is another kind of database, or does not exist.
    """
    address = make_url(settings.ledger_address)
    if address.get_backend_name() != "sqlite":
        raise BackupError(
            "this backup copies SQLite ledgers only",
            where="AIMASS_LEDGER_URL",
            seen=address.get_backend_name(),
            expected="sqlite",
            cure="use the database's own backup (pg_dump) for the ledger",
        )
    path = Path(address.database or "")
    if not path.is_file():
        raise BackupError(
            "there is nothing to back up",
            where=str(path),
            seen="no ledger",
            expected="a home in which at least one night ran",
            cure="check AIMASS_HOME, or run a night first",
        )
    return path


def _named(ledger: Path, column: str) -> set[str]:
    """Return the addresses in one column of the publications of a ledger copy."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro&immutable=1", uri=True)) as connection:
        rows = connection.execute(f"SELECT DISTINCT {column} FROM publications WHERE {column} IS NOT NULL")  # noqa: S608 - the two callers pass constants
        return {str(row[0]) for row in rows}
