"""A home of a given size for the benchmark of backups: versions with artifacts, a ledger and MLflow's database."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from pipelines.inference.manifest import write_manifest
from pipelines.ledger import Ledger
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.storage import adopt_model

VERSION_MB = 20
"""What one version takes: its model directory and its artifacts in MLflow, half each, of different content."""
METRIC = 300
"""Bytes of a row in MLflow's database."""


def make_home(settings: Settings, megabytes: int, seed: int = 0) -> None:
    """Fill a home: 85 % versions, 15 % databases."""
    random = np.random.default_rng(seed)
    versions = int(megabytes * 0.85 / VERSION_MB)
    Ledger.open(settings).close()
    mlflow = settings.mlflow_dir / "mlflow.db"
    with closing(sqlite3.connect(mlflow)) as connection, connection:
        connection.execute("CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, artifact_uri TEXT)")
        connection.execute("CREATE TABLE metrics (run_uuid TEXT, step INTEGER, value REAL, note TEXT)")
    for number in range(versions):
        add_version(settings, number, random)
    add_rows(mlflow, int(megabytes * 0.10 * 1e6 / METRIC), random)
    with closing(sqlite3.connect(settings.ledger_path)) as connection, connection:
        connection.execute("CREATE TABLE filler (id INTEGER PRIMARY KEY, note TEXT)")
    add_rows(settings.ledger_path, int(megabytes * 0.05 * 1e6 / METRIC), random, "filler")


def add_version(settings: Settings, number: int, random: np.random.Generator) -> None:
    """Add one version: text as boosters write it, arrays, small files."""
    source = settings.run_dir / f"model-{number}"
    _files(source / "members", random)
    (source / "model.json").write_text(f'{{"format": 1, "number": {number}}}')
    write_manifest(source, signing_key(settings).read_bytes())
    uri, digest = adopt_model(settings, source, "bench")
    shutil.rmtree(source)
    artifacts = settings.mlflow_dir / "artifacts" / "bench" / f"run{number}" / "artifacts"
    _files(artifacts, random)
    with closing(sqlite3.connect(settings.mlflow_dir / "mlflow.db")) as connection, connection:
        connection.execute("INSERT INTO runs VALUES (?, ?)", (f"run{number}", artifacts.as_uri()))
    with Ledger.open(settings) as ledger:
        ledger.reserve("bench", f"night-{number}", 1)
        ledger.assign_version("bench", f"night-{number}", 1)
        ledger.advance(
            "bench", f"night-{number}", 1,
            state="registered", model_uri=uri, model_digest=digest, mlflow_run=f"run{number}",
        )  # fmt: skip


def add_rows(database: Path, count: int, random: np.random.Generator, table: str = "metrics") -> None:
    """Append rows, as nights do."""
    notes = (" ".join(map(str, random.integers(0, 10**9, 25))) for _ in range(count))
    with closing(sqlite3.connect(database)) as connection, connection:
        if table == "metrics":
            rows = ((f"run{number % 40}", number, float(number), note) for number, note in enumerate(notes))
            connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", rows)
        else:
            connection.executemany("INSERT INTO filler (note) VALUES (?)", ((note,) for note in notes))


def change(settings: Settings, share: float, megabytes: int, seed: int = 1) -> None:
    """Change a share of a home as its days do: new versions, new rows in both databases, some rows of old nights."""
    random = np.random.default_rng(seed)
    size = share * megabytes
    for number in range(max(1, round(size * 0.85 / VERSION_MB))):
        add_version(settings, 10_000 + number, random)
    mlflow = settings.mlflow_dir / "mlflow.db"
    add_rows(mlflow, int(size * 0.10 * 1e6 / METRIC), random)
    add_rows(settings.ledger_path, int(size * 0.05 * 1e6 / METRIC), random, "filler")
    with closing(sqlite3.connect(mlflow)) as connection, connection:
        connection.execute("UPDATE metrics SET value = value + 1 WHERE rowid BETWEEN 1000 AND 1100")


def _files(folder: Path, random: np.random.Generator) -> None:
    """Write 10 MB: 4 MB of numbers as text, 5 MB of floats, 20 small files."""
    folder.mkdir(parents=True)
    (folder / "booster.txt").write_text(" ".join(f"{value:.6g}" for value in random.normal(size=400_000)))
    (folder / "weights.bin").write_bytes(random.normal(size=1_250_000).astype("float32").tobytes())
    for number in range(20):
        (folder / f"plot{number}.png").write_bytes(random.bytes(40_000))
