"""Where MLflow's database says that artifacts lie: found for a backup, rewritten after a restore elsewhere."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

ADDRESS = re.compile(r"(file://)?(/.*)?/mlflow/artifacts(?P<rest>/.*)?")
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Every column that holds the address of a file or folder."""
OF_RUNS = (("runs", "artifact_uri", "run_uuid"), ("logged_models", "artifact_location", "source_run_id"))


def folders_of(database: Path, runs: Iterable[str]) -> list[str]:
    """Return the folders of what runs logged, relative to MLflow's folder of artifacts, without those elsewhere.

    Parameters
    ----------
    database
        A copy that nobody writes to.
    runs
        Ids.
    """
    found: set[str] = set()
    with closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as connection:
        for table, column, key in OF_RUNS:
            if not {column, key} <= _columns(connection, table):
                continue
            for run in runs:
                rows = connection.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (run,))  # noqa: S608 - constants above
                found.update(rest for (address,) in rows if (rest := _rest(address)))
    return sorted(found)


def rewrite(database: Path, artifacts: Path | None) -> int:
    """Let all addresses below any home's ``mlflow/artifacts`` point below ``artifacts``; return how many changed.

    Without a folder it is MLflow's server that keeps the artifacts, whoever asks.
    """
    changed = 0
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in COLUMNS:
            if column not in _columns(connection, table):
                continue
            rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()  # noqa: S608 - constants above
            for row, address in rows:
                match = ADDRESS.fullmatch(str(address))
                if match is None:
                    continue
                rest = match["rest"] or ""
                if artifacts is None:
                    new = f"mlflow-artifacts:{rest or '/'}"
                else:
                    new = f"file://{quote(str(artifacts))}{rest}" if match[1] else f"{artifacts}{rest}"
                if new != address:
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))  # noqa: S608 - constants above
                    changed += 1
    return changed


def _rest(address: object) -> str | None:
    match = ADDRESS.fullmatch(str(address))
    rest = (match["rest"] or "").strip("/") if match else ""
    if match and match[1]:
        rest = unquote(rest)
    return rest if rest and ".." not in rest.split("/") else None


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
