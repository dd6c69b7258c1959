"""Logs of tasks, where several machines run them: kept in the storage, from which Airflow's UI reads them.

Airflow's own way is a server on each worker that the API server asks, without encryption. ``logging_config_class``
names this module's ``LOGGING_CONFIG``; Airflow then finds ``REMOTE_TASK_LOG`` beside it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG

if TYPE_CHECKING:
    from pipelines.settings import Settings

FOLDER = "task_logs"
READ_S, WRITE_S = 5.0, 60.0
"""Seconds for which the storage is asked by a page that somebody waits for, and by a task that has ended."""
LOGGING_CONFIG = DEFAULT_LOGGING_CONFIG


class StoredLogs:
    """Brings the log file of a task that has ended into the storage, and reads it there."""

    processors: tuple[Any, ...] = ()

    def upload(self, path: str, ti: Any = None) -> None:
        """Store the log of an attempt; ``path`` is relative to this machine's folder of logs."""
        from airflow.sdk.configuration import conf

        from pipelines.settings import load

        source = Path(conf.get("logging", "base_log_folder")) / path
        if source.is_file():
            keep(load(), str(path), source.read_bytes())

    def read(self, relative_path: str, ti: Any = None) -> tuple[list[str], list[str] | None]:
        """Return where the log of an attempt was found, and its text; no text: it is not there."""
        from pipelines.settings import load

        where, content = find(load(), str(relative_path))
        return [where], None if content is None else [content.decode(errors="replace")]


def keep(settings: Settings, path: str, content: bytes) -> None:
    """Store a log in place of an earlier part of it."""
    from pipelines.artifacts import write_atomic
    from pipelines.object_store import open_store
    from pipelines.settings import make_private

    key = key_of(path)
    if settings.storage_bucket is not None:
        open_store(settings, settings.storage_bucket, patience=WRITE_S).put(key, content)
        return
    make_private((settings.storage / key).parent)
    write_atomic(settings.storage / key, content)


def find(settings: Settings, path: str) -> tuple[str, bytes | None]:
    """Return the address of a log, and its content if it is there."""
    from pipelines.object_store import open_store

    key = key_of(path)
    if settings.storage_bucket is not None:
        store = open_store(settings, settings.storage_bucket, patience=READ_S)
        return store.where(key), store.get(key)
    file = settings.storage / key
    return str(file), file.read_bytes() if file.is_file() else None


def key_of(path: str) -> str:
    """Return the place of a log below the storage root.

    Raises
    ------
    ValueError
        The path leads out of the folder of logs.
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{path} is not the path of a log below its folder")
    return f"{FOLDER}/{parts}"


REMOTE_TASK_LOG = StoredLogs()
