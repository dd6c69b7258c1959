"""What a backup holds, and backups of the first format, which the product reads and no longer writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines.backup import copying, manifest, signature
from pipelines.backup.shelf import blobs_of
from pipelines.backup.store import Store
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings, make_private


def manifest_of(settings: Settings, folder: Path) -> dict[str, Any]:
    """Read the manifest of a backup that is sound."""
    facts, faults = manifest.read(folder, public_key(settings), blobs_of(settings))
    assert faults == []
    return facts


def stored(settings: Settings, folder: Path) -> dict[str, bytes]:
    """Return the files of a backup by their names."""
    store = Store(folder.parent, blobs_of(settings))
    files: Mapping[str, Any] = manifest_of(settings, folder)["files"]
    return {name: b"".join(store.read(chunk) for chunk in entry["chunks"]) for name, entry in files.items()}


def chunk_files(root: Path) -> list[Path]:
    """Return the files of all chunks in a folder of backups."""
    return sorted(path for path in (root / "chunks").rglob("*") if path.is_file())


def old_backup(settings: Settings, name: str = "20260101T000000.000000Z") -> Path:
    """Write a backup as the first release did: a full copy of databases and model directories, signed."""
    folder = make_private(settings.backups / name)
    files = {}
    databases = [path for path in (settings.ledger_path, settings.mlflow_dir / "mlflow.db") if path.is_file()]
    names = [f"home/{path.relative_to(settings.home).as_posix()}" for path in databases]
    for source, target in zip(databases, names, strict=True):
        copying.copy_database(source, folder / target)
    for source in copying.files_below(settings.storage / "models"):
        target = f"home/{source.relative_to(settings.home).as_posix()}"
        files[target] = copying.copy_file(source, folder / target)
    for target in names:
        files[target] = signature.listing(folder)[target]
    signature.sign(folder, {"created": name, "databases": names, "models": []}, files, signing_key(settings))
    return folder


def tracked_run(settings: Settings, run: str = "run1") -> Path:
    """Make an MLflow database as MLflow lays it out, with one run, its logged model and their files."""
    root = settings.mlflow_dir / "artifacts" / "demo"
    card = root / run / "artifacts" / "evaluation" / "card.html"
    logged = root / "models" / f"m-{run}" / "artifacts" / "MLmodel"
    for path in (card, logged):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name} of {run}")
    with closing(sqlite3.connect(settings.mlflow_dir / "mlflow.db")) as connection, connection:
        for table, columns in (
            ("experiments", "experiment_id, artifact_location"),
            ("runs", "run_uuid, artifact_uri"),
            ("logged_models", "model_id, source_run_id, artifact_location"),
            ("model_versions", "name, version, source, storage_location"),
        ):
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
        connection.execute("INSERT INTO experiments VALUES (1, ?)", (root.as_uri(),))
        connection.execute("INSERT INTO runs VALUES (?, ?)", (run, (root / run / "artifacts").as_uri()))
        connection.execute("INSERT INTO logged_models VALUES (?, ?, ?)", (f"m-{run}", run, logged.parent.as_uri()))
        location = logged.parent.as_uri()
        connection.execute("INSERT INTO model_versions VALUES ('demo', 1, ?, ?)", (f"models:/m-{run}", location))
    return card
