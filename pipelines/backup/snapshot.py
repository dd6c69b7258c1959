"""What goes into a backup: the ledger first, then everything that its copy names."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from pipelines.backup import copying, signature
from pipelines.backup.ledger_copy import LedgerCopy, copy_ledger
from pipelines.backup.mlflow_addresses import folders_of
from pipelines.backup.plain_settings import plain_settings
from pipelines.backup.spec import BackupSpec
from pipelines.backup.store import in_parallel
from pipelines.backup.writer import Entry, Writer
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import MANIFEST, bring_all, read_file
from pipelines.storage.file_io import threads

ROUNDS, PAUSE_S = 8, 0.05
"""How often the ledger is copied again because a version was deleted between two looks, and the pause before."""


class Snapshot:
    """One consistent state of a home.

    Parameters
    ----------
    writer
        Takes the files.
    scratch
        Folder for copies of databases.
    """

    def __init__(self, settings: Settings, spec: BackupSpec, writer: Writer, scratch: Path) -> None:
        self.settings, self.spec, self.writer, self.scratch = settings, spec, writer, scratch
        self.databases: list[str] = []
        self.models: list[str] = []
        self.damaged: list[str] = []
        self.absent: list[str] = []
        """Databases that do not exist in this home (yet)."""
        self.missing: list[str] = []
        """Folders of artifacts that MLflow's database names and that are not there."""
        self._begun: list[Future[None]] = []

    def take(self) -> None:
        """Take all parts; copies of databases are checked and taken aside, while files are looked at."""
        with ThreadPoolExecutor(threads()) as self._aside:
            self._take()
            for work in self._begun:
                work.result()

    def _take(self) -> None:
        ledger = self._ledger_and_models()
        self._database(self.settings.airflow_home / "airflow.db")
        mlflow = self._database(self.settings.mlflow_dir / "mlflow.db")
        if mlflow is not None and self.spec.artifacts:
            self._artifacts(folders_of(mlflow, ledger.runs))
        if self.spec.bentos:
            self._bentos(ledger)
        if self.spec.history:
            self._tables("history", "*/*/*")
            self._tables("mart", "*/*")
            self._history_indexes()
        if self.spec.project:
            self._project()
        self.writer.add_text("home/settings.json", json.dumps(plain_settings(self.settings), indent=1))

    def _ledger_and_models(self) -> LedgerCopy:
        root = self.settings.storage / "models"
        for again in range(ROUNDS):
            if again:
                time.sleep(PAUSE_S)
            ledger = copy_ledger(self.settings, self.scratch)
            bring_all(self.settings, "models")
            present = {f"models/{path.relative_to(root).as_posix()}" for path in root.glob("*/*") if path.is_dir()}
            for uri, fault in in_parallel(self._model, sorted(present - set(self.models))):
                if fault is None:
                    self.models.append(uri)
                elif fault and not any(known.startswith(f"{uri}:") for known in self.damaged):
                    self.damaged.append(f"{uri}: {fault}")
            if ledger.models <= set(self.models):
                break  # otherwise one was deleted meanwhile, or is damaged: look at the ledger again
        if ledger.path.suffix == ".db":
            self.databases.append(ledger.name)
            self._begin(copying.require_sound, ledger.path, Path(make_url(self.settings.ledger_address).database or ""))
        self._begin(self.writer.add, ledger.name, ledger.path, remember=False)
        broken = {fault.split(":")[0] for fault in self.damaged}
        self.damaged = [fault for fault in self.damaged if fault.split(":")[0] in ledger.models]
        self.damaged += [f"{uri}: missing" for uri in sorted(ledger.models - set(self.models) - broken)]
        return ledger

    def _database(self, source: Path) -> Path | None:
        name = source.relative_to(self.settings.home).as_posix()
        if not source.is_file():
            self.absent.append(name)
            return None
        copy = self.scratch / source.name
        copying.copy_database(source, copy)
        self._begin(copying.require_sound, copy, source)
        self._begin(self.writer.add, f"home/{name}", copy, remember=False)
        self.databases.append(f"home/{name}")
        return copy

    def _begin(self, work: Callable[..., None], *arguments: Any, **options: Any) -> None:
        self._begun.append(self._aside.submit(work, *arguments, **options))

    def _model(self, uri: str) -> tuple[str, str | None]:
        """Take a model directory; return its first fault, "" for one that was deleted meanwhile."""
        source = self.settings.storage / uri
        fault = self._signed_tree(source, f"home/storage/{uri}")
        return uri, fault if fault is None or source.is_dir() else ""

    def _bentos(self, ledger: LedgerCopy) -> None:
        """Take the bentos that the ledger names; one that is gone can be built again from its model directory."""
        store = self.settings.bentoml_home
        for uri in sorted(ledger.bentos):
            source = store / "bentos" / uri.replace(":", "/")
            if source.is_dir() and source.resolve().is_relative_to(store.resolve()):
                fault = self._signed_tree(source, f"home/{source.relative_to(self.settings.home).as_posix()}")
                if fault is not None and source.is_dir():
                    self.damaged.append(f"bento {uri}: {fault}")

    def _tables(self, part: str, pattern: str) -> None:
        """Take the increments of all sources, or what is in the mart; they are published whole and never change."""
        root = self.settings.storage / part
        bring_all(self.settings, part)
        for source in sorted(path.parent for path in root.glob(f"{pattern}/{MANIFEST}")):
            target = f"home/storage/{source.relative_to(self.settings.storage).as_posix()}"
            try:
                entries = self.writer.read_tree(source, target, signed=True)
                listed = json.loads((source / MANIFEST).read_text())["files"]
                sound = not differences(listed, entries, target, {MANIFEST})
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                sound = False
            if sound:
                self.writer.files.update(entries)
            else:
                name = source.relative_to(root).as_posix()
                self.damaged.append(f"{part} {name}: a published folder is damaged")

    def _history_indexes(self) -> None:
        root = self.settings.storage / "history"
        for table in sorted(path for path in root.glob("*/*") if path.is_dir()):
            uri = f"{table.relative_to(self.settings.storage).as_posix()}/index.json"
            if (content := read_file(self.settings, uri)) is not None:
                self.writer.add_text(f"home/storage/{uri}", content.decode())

    def _artifacts(self, folders: list[str]) -> None:
        """Take what versions logged into MLflow; what somebody removed there is noted, for nothing depends on it."""

        def entries_of(folder: str) -> dict[str, Entry]:
            try:
                source = self.settings.mlflow_dir / "artifacts" / folder
                return self.writer.read_tree(source, f"home/mlflow/artifacts/{folder}")
            except FileNotFoundError:
                return {}

        for folder, entries in zip(folders, in_parallel(entries_of, folders), strict=True):
            self.writer.files.update(entries)
            if not entries:
                self.missing.append(f"mlflow/artifacts/{folder}")

    def _project(self) -> None:
        dags = self.settings.dags
        suites = dags.parent / "expectations"
        chosen = sorted(dags.rglob("*.py")) + (sorted(suites.rglob("*.json")) if suites.is_dir() else [])
        for source in chosen:
            if source.is_file() and not source.is_symlink():
                self.writer.add(f"project/{source.relative_to(dags.parent).as_posix()}", source)

    def _signed_tree(self, source: Path, target: str) -> str | None:
        """Take a folder with a signed manifest of its own; return the first fault, and nothing of it is taken then."""
        try:
            entries = self.writer.read_tree(source, target, signed=True)
        except FileNotFoundError as error:
            return f"{error.filename}: {error.strerror}"
        listed, faults = signature.read(source, public_key(self.settings))
        own = {signature.MANIFEST, signature.SIGNATURE}
        faults = faults or differences(listed["files"], entries, target, own)
        if not faults:
            self.writer.files.update(entries)
        return faults[0] if faults else None


def differences(
    listed: Mapping[str, Mapping[str, Any]], entries: Mapping[str, Entry], target: str, own: set[str]
) -> list[str]:
    """Return how the files that were read differ from what a folder's manifest lists.

    Parameters
    ----------
    target
        Name of the folder in the backup, which the names of entries begin with.
    own
        Files that the manifest does not list: itself and its signature.
    """
    seen = {name: entry for key, entry in entries.items() if (name := key.removeprefix(f"{target}/")) not in own}
    faults = [f"{name}: missing" for name in sorted(listed.keys() - seen.keys())]
    faults += [f"{name}: not in the manifest" for name in sorted(seen.keys() - listed.keys())]
    for name in sorted(listed.keys() & seen.keys()):
        if any(seen[name][fact] != listed[name][fact] for fact in ("sha256", "bytes")):
            faults.append(f"{name}: content changed")
    return faults
