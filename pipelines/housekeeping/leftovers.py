"""What lies about and is old: unpublished work, temporary folders, logs, days of the prediction log, orphans."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from pipelines.clusters import LOCK, SHORT
from pipelines.housekeeping.items import Item, folder_item, old_folders, older, size_of
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.locks import try_lock
from pipelines.object_store import Listed
from pipelines.settings import Settings
from pipelines.storage import STORED_LOGS, remote_of
from pipelines.storage.remote import Remote

PUBLISHED = ("nights", "models", "history", "mart")
"""Parts of the storage that hold published folders."""


def unpublished(settings: Settings, since: datetime) -> Iterator[Item]:
    """Yield the unpublished work that killed stages left."""
    for path in older(settings.staging.glob("*"), since):
        yield folder_item(settings, "staging", path, f"not changed since {_day(path)}: no stage works on it")
    remote = remote_of(settings)
    if remote is None:
        return
    for where in PUBLISHED:
        for found in remote.found(where):
            left = [each for each in remote.leftovers(found) if each.changed < since]
            if left:
                remove = partial(_delete, remote, tuple(each.key for each in left))
                why = "its writer was killed, or another one was first"
                size = sum(each.bytes for each in left)
                yield Item("staging", remote.store.where(found.uri), size, why, remove, elsewhere=True)
    for prefix, why in (("searches/", "of a search that ended"), ("dask/", "what a stage had for its workers")):
        for each in remote.store.list(prefix):
            if each.changed < since:
                remove = partial(_delete, remote, (each.key,))
                yield Item("staging", remote.store.where(each.key), each.bytes, why, remove, elsewhere=True)
    for key, end in remote.store.broken_uploads(since):
        yield Item("staging", remote.store.where(key), 0, "a transfer that never ended", end, elsewhere=True)


def _delete(remote: Remote, keys: tuple[str, ...]) -> bool:
    remote.store.delete(keys)
    return True


def old_copies(settings: Settings, since: datetime) -> Iterator[Item]:
    """Yield this machine's copies of what is in an object store, the longest unused first, above their size."""
    remote = remote_of(settings)
    if remote is None:
        return
    copies = remote.copies()
    over = sum(size for _, _, size in copies) - settings.storage_cache_gb * 1e9
    for uri, used, size in copies:
        if over <= 0 or used > since.timestamp():
            return
        over -= size
        day = datetime.fromtimestamp(used, UTC).date().isoformat()
        why = f"a copy last used on {day}; all have more than {settings.storage_cache_gb:g} GB"
        remove = partial(remote.drop_unused, uri, since.timestamp())
        yield Item("copies", f"cache/storage/{uri}", size, why, remove)


def temporary(since: datetime) -> Iterator[Item]:
    """Yield old temporary folders of our own that killed processes left, such as those of Ray and Dask.

    A platform that has changed nothing for days has its sockets in such a folder, too: that one is in use.
    """
    folders, used = {Path(tempfile.gettempdir()), Path(SHORT)}, open_sockets()
    for path in older((path for folder in folders for path in folder.glob("aimass-*")), since):
        own = path.lstat().st_uid == os.getuid() and path.is_dir() and not path.is_symlink()
        if own and not any(path in socket.parents for socket in used) and not _is_locked(path / LOCK):
            why = f"not changed since {_day(path)}: left by a process that was killed"
            yield Item("temporary", str(path), size_of(path), why, partial(_remove_tree, path))


def open_sockets(processes: Path = Path("/proc")) -> frozenset[Path]:
    """Return the paths of the Unix sockets that processes of this machine hold open, in whatever network they are.

    Each network namespace has a table of its own, while the folders of the sockets are shared.
    """
    found: set[Path] = set()
    seen: set[str] = set()
    for process in (processes / "self", *processes.glob("[0-9]*")):
        try:
            network = os.readlink(process / "ns/net")
            if network in seen:
                continue
            lines = (process / "net/unix").read_text(errors="surrogateescape").splitlines()[1:]
        except OSError:
            continue  # it has ended, or is another user's
        seen.add(network)
        found |= {Path(fields[7]) for line in lines if len(fields := line.split(maxsplit=7)) == 8}
    return frozenset(found)


def _is_locked(lock: Path) -> bool:
    """Tell whether a process holds the lock of its folder."""
    if not lock.exists():
        return False
    held = try_lock(lock)
    if held is not None:
        held.lock.release()
    return held is None


def _remove_tree(path: Path) -> bool:
    shutil.rmtree(path, ignore_errors=True)
    return True


def old_predictions(settings: Settings, spec: HousekeepingSpec, now: datetime) -> Iterator[Item]:
    """Yield the days of the prediction log that are too old."""
    first = (now - timedelta(days=spec.kept_predictions)).date()
    why = f"older than {spec.kept_predictions} days"
    for day in (settings.storage / "predictions").glob("*/*"):
        if _is_before(day.name, first):
            yield folder_item(settings, "predictions", day, why)
    remote = remote_of(settings)
    if remote is None:
        return
    for model in remote.store.folders("predictions/"):
        for name in remote.store.folders(f"predictions/{model}/"):
            if _is_before(name, first):
                where = f"predictions/{model}/{name}"
                size = sum(each.bytes for each in remote.store.list(f"{where}/"))
                remove = partial(remote.remove, where)
                yield Item("predictions", remote.store.where(where), size, why, remove, elsewhere=True)


def _is_before(day: str, first: date) -> bool:
    try:
        return date.fromisoformat(day) < first
    except ValueError:
        return False  # not a day of the log: not ours to judge


def old_logs(settings: Settings, spec: HousekeepingSpec, now: datetime, ledger: Ledger) -> Iterator[Item]:
    """Yield logs of Airflow's tasks and of its readings of DAG files, and those of services that are gone."""
    before = now - timedelta(days=spec.log_days)
    why = f"older than {spec.log_days} days"
    airflow = settings.airflow_home / "logs"
    for pattern in ("dag_id=*/run_id=*", "dag_processor/*"):
        for path in older(airflow.glob(pattern), before):
            if not path.is_symlink():  # Airflow's link to the newest
                yield folder_item(settings, "task logs", path, why)
    yield from _stored_logs(settings, before, why)
    wanted = {f"bento-{row.model}-v{row.version}" for row in ledger.serving() if row.desired == "serve"}
    for path in older(settings.logs.glob("bento-*.log*"), before):
        if not any(path.name.startswith((f"{name}.", f"{name}-")) for name in wanted):
            yield folder_item(settings, "logs", path, f"{why}; the service is gone")
    for path in older(settings.logs.glob("local-*.log"), before):
        yield folder_item(settings, "logs", path, why)


def _stored_logs(settings: Settings, before: datetime, why: str) -> Iterator[Item]:
    """Yield the logs of old runs that several machines keep in the storage, run by run."""
    for path in older((settings.storage / STORED_LOGS).glob("dag_id=*/run_id=*"), before):
        yield folder_item(settings, "task logs", path, why)
    remote = remote_of(settings)
    if remote is None:
        return
    runs: dict[str, list[Listed]] = {}
    for each in remote.store.list(f"{STORED_LOGS}/dag_id="):
        runs.setdefault("/".join(each.key.split("/")[:3]), []).append(each)
    for run, found in runs.items():
        if max(each.changed for each in found) < before:
            keys = tuple(each.key for each in found)
            size = sum(each.bytes for each in found)
            yield Item("task logs", remote.store.where(run), size, why, partial(_delete, remote, keys), elsewhere=True)


def orphans(settings: Settings, ledger: Ledger, since: datetime, busy: frozenset[str]) -> Iterator[Item]:
    """Yield model directories, bentos and published tables that nothing names: their makers were killed.

    Parameters
    ----------
    busy
        Models whose nights run: theirs may be about to be named.
    """
    named = ledger.version_addresses()

    def why(uri: str) -> str:
        model = uri.split("/")[1]
        return "" if model in busy or uri in named else "a model directory that no version names"

    yield from old_folders(settings, "orphans", "models", "*/*", since, why)
    tables = {row.uri for row in ledger.mart_tables() if row.expired_at is None}
    of_none = "a published table that the ledger does not name"
    yield from old_folders(settings, "orphans", "mart", "*/*", since, lambda uri: "" if uri in tables else of_none)
    known = {row.name.replace("_", "-"): row.name for row in ledger.models()}
    for path in older((settings.bentoml_home / "bentos").glob("*/v*-*"), since):
        model = known.get(path.parent.name)
        if model is not None and model not in busy and f"{path.parent.name}:{path.name}" not in named:
            yield folder_item(settings, "orphans", path, "a bento that no version names")


def _day(path: Path) -> str:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC).date().isoformat()
