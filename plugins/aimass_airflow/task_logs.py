"""Logs of tasks, where several machines run them: kept in the storage, from which Airflow's UI reads them.

Airflow's own way is a server on each worker that the API server asks, without encryption. ``logging_config_class``
names this module's ``LOGGING_CONFIG``; Airflow then finds ``REMOTE_TASK_LOG`` beside it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG

LOGGING_CONFIG = DEFAULT_LOGGING_CONFIG


class StoredLogs:
    """Brings the log file of an attempt that has ended into the storage, and reads it there."""

    processors: tuple[Any, ...] = ()

    def upload(self, path: str, ti: Any = None) -> None:
        """Store a log, in place of an earlier part of it; ``path`` is relative to this machine's folder of logs."""
        from airflow.sdk.configuration import conf

        from pipelines.settings import load
        from pipelines.storage import write_file

        source = Path(conf.get("logging", "base_log_folder")) / path
        if source.is_file():
            write_file(load(), address_of(path), source.read_bytes())

    def read(self, relative_path: str, ti: Any = None) -> tuple[list[str], list[str] | None]:
        """Return where the log of an attempt lies, and its text; no text: it is not there."""
        from pipelines.settings import load
        from pipelines.storage import read_file

        uri = address_of(relative_path)
        content = read_file(load(), uri)
        return [f"{uri} in the storage"], None if content is None else [content.decode(errors="replace")]


def address_of(path: str) -> str:
    """Return the address of a log below the storage root.

    Raises
    ------
    ValueError
        The path leads out of the folder of logs.
    """
    from pipelines.storage import STORED_LOGS

    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{path} is not the path of a log below its folder")
    return f"{STORED_LOGS}/{parts}"


REMOTE_TASK_LOG = StoredLogs()
