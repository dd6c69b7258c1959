"""What is shared besides published folders: small files that are written again, and the logs that grow by files.

In a folder both are files and nothing is to be done. In an object store the small ones are read and written there;
of the logs each file is sent once it is written, and what others sent is brought before it is read.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.errors import AimassError
from pipelines.object_store import at_once
from pipelines.settings import Settings, make_private
from pipelines.storage.file_io import link_or_copy
from pipelines.storage.remote import Remote, remote_of

LOGS = ("predictions", "feedback")
UNSENT = ".unsent"
"""Files of the logs that the object store lacks, under their own paths."""

log = logging.getLogger(__name__)
STORED_LOGS = "task_logs"
"""Folder of the logs of Airflow's tasks, where several machines run them."""


def read_file(settings: Settings, uri: str) -> bytes | None:
    """Return the content of a small file; None: there is none."""
    if (remote := remote_of(settings)) is not None:
        return remote.store.get(uri)
    try:
        return (settings.storage / uri).read_bytes()
    except FileNotFoundError:
        return None


def write_file(settings: Settings, uri: str, content: bytes) -> None:
    """Write a small file, in place of the one that is there; a reader sees the old one or the whole new one."""
    if (remote := remote_of(settings)) is not None:
        remote.store.put(uri, content)
        return
    path = settings.storage / uri
    make_private(path.parent)
    write_atomic(path, content)


def sender(settings: Settings) -> Callable[[Path], None] | None:
    """Return what a log calls with each file that it has written; None: a folder needs nothing.

    It also sends what earlier calls could not, and raises nothing: what the store does not take waits on this machine.
    """
    if settings.storage_bucket is None:
        return None

    def send(path: Path) -> None:
        waiting = settings.storage / UNSENT / path.relative_to(settings.storage)
        make_private(waiting.parent)
        link_or_copy(path, waiting)
        try:
            send_waiting(settings)
        except (AimassError, OSError) as error:
            log.warning("the object store lacks some files of a log, which wait on this machine: %s", error)

    return send


def send_waiting(settings: Settings) -> int:
    """Send the files of logs that the store lacks; return how many."""
    remote = remote_of(settings, patience=0.0)  # who writes the log is not to wait; it asks again
    if remote is None:
        return 0
    root = settings.storage / UNSENT
    waiting = sorted(path for path in root.rglob("*.parquet") if path.is_file())
    for path in waiting:
        with suppress(FileNotFoundError):  # another process has sent it
            remote.store.send(path.relative_to(root).as_posix(), path)
            path.unlink()
    return len(waiting)


def bring_logs(settings: Settings, model: str, start: datetime, end: datetime) -> Path:
    """Return the storage root once it holds the logs of a model from the day of ``start`` to that of ``end``."""
    first, last = (moment.astimezone(UTC).date().isoformat() for moment in (start, end))
    return _bring_days(settings, model, lambda days: [day for day in days if first <= day <= last])


def bring_newest_logs(settings: Settings, model: str, days: int = 14) -> Path:
    """Return the storage root once it holds the newest days of a model's logs."""
    return _bring_days(settings, model, lambda found: sorted(found)[-days:])


def _bring_days(settings: Settings, model: str, chosen: Callable[[list[str]], list[str]]) -> Path:
    remote = remote_of(settings)
    if remote is not None:
        for name in LOGS:
            for day in chosen(list(remote.store.folders(f"{name}/{model}/"))):
                _bring(remote, f"{name}/{model}/{day}/")
    return settings.storage


def _bring(remote: Remote, prefix: str) -> None:
    def one(key: str) -> None:
        target = remote.root / key
        partial = make_private(target.parent) / f".{target.name}.{secrets.token_hex(4)}"
        try:
            if remote.store.fetch(key, partial) is not None:
                os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    there = {each.key: each.bytes for each in remote.store.list(prefix)}
    at_once(one, [key for key, size in there.items() if _size(remote.root / key) != size])


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
