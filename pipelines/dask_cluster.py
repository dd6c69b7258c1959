"""A Dask cluster at a given address, for tables above a machine's share; and work on many things, wherever it is done.

Workers read tables from the storage themselves, see :mod:`pipelines.dask_files`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

from pipelines import installation
from pipelines import settings as settings_module
from pipelines.dask_files import Shared, current, shared_by, shares
from pipelines.errors import SpecError, UnreachableError
from pipelines.settings import Settings, make_private

T = TypeVar("T")
S = TypeVar("S")
SHARE = 0.25
"""Share of a machine's memory (``AIMASS_MEMORY_GB``) that a table may take before it is for the cluster, by default."""
CONNECT_SECONDS = 10.0
TLS_FILES = {"tls_ca_file": "ca.pem", "tls_client_cert": "cert.pem", "tls_client_key": "key.pem"}


def is_for_cluster(settings: Settings, nbytes: int) -> bool:
    """Whether a table of ``nbytes`` in memory is worked on by the Dask cluster, where one is given."""
    most = SHARE * settings.memory_gb if settings.dask_from_gb is None else settings.dask_from_gb
    return settings.dask_scheduler is not None and nbytes > most * 1e9


@contextmanager
def dask_cluster(settings: Settings) -> Iterator[Any]:
    """Let Dask work on the cluster at ``AIMASS_DASK_SCHEDULER``; yield the client.

    Raises
    ------
    SpecError
        If its certificates are missing, if the scheduler or a worker differs from this machine in Python, libraries or
        code, if a worker does not see the storage, or if a piece of work has ended several workers.
    UnreachableError
        If nobody answers or there is no worker; a later attempt may succeed.
    """
    import dask
    from distributed import KilledWorker

    try:
        with connected(settings) as client:
            check_workers(client, settings)
            # what a plan holds may be large: it is sent once
            with shares(settings), dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
                yield client
    except KilledWorker as error:
        raise SpecError(
            "workers of the Dask cluster ended again and again at the same piece of work",
            where=f"AIMASS_DASK_SCHEDULER={settings.dask_scheduler}",
            seen=f"{error.allowed_failures + 1} workers gone, the last one {error.last_worker.address}",
            expected="each partition to fit into a worker's memory",
            cure="start workers with a higher --memory-limit, or sample fewer rows",
        ) from None


@contextmanager
def connected(settings: Settings) -> Iterator[Any]:
    """Connect to the scheduler; yield the client."""
    import dask
    from distributed import Client

    address = settings.dask_scheduler
    assert address is not None  # whoever calls has looked
    security = _security(settings) if address.startswith("tls://") else None
    try:
        # nobody waits for a dead scheduler longer than this
        with dask.config.set({"distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s"}):
            client = Client(address, security=security, timeout=CONNECT_SECONDS, name=f"aimass-{token_hex(4)}")
    except (OSError, TimeoutError) as error:
        raise UnreachableError(
            "the Dask scheduler cannot be reached",
            where=f"AIMASS_DASK_SCHEDULER={address}",
            seen=" ".join(str(error).split())[:200] or type(error).__name__,
            expected="a scheduler that answers",
            cure="start it, correct the address, or check the certificates of both sides",
        ) from None
    with client:
        yield client


def tls_folder(settings: Settings) -> Path:
    """Return the folder with the certificates for the scheduler."""
    return settings.dask_tls or settings.secrets / "dask"


def _security(settings: Settings) -> Any:
    from distributed.security import Security

    folder = tls_folder(settings)
    faults = [f"{folder / name}: not there" for name in TLS_FILES.values() if not (folder / name).is_file()]
    key = folder / TLS_FILES["tls_client_key"]
    if key.is_file() and key.stat().st_mode & 0o077:
        faults.append(f"{key}: mode {key.stat().st_mode & 0o777:o}")
    if faults:
        raise SpecError(
            "there are no certificates for the Dask scheduler",
            where=str(folder),
            seen="; ".join(faults),
            expected=f"{', '.join(TLS_FILES.values())}, the key with mode 600",
            cure="put the cluster's CA and a certificate that it signed there, or set AIMASS_DASK_TLS to their folder",
            faults=faults,
        )
    files = {name: str(folder / file) for name, file in TLS_FILES.items()}
    return Security(**files, require_encryption=True)


def check_workers(client: Any, settings: Settings) -> list[str]:
    """Return the addresses of the workers; refuse a cluster with one that is not like this machine.

    Raises
    ------
    SpecError
        Names every such host and in what it differs.
    UnreachableError
        If there is no worker.
    """
    here = installation.describe()
    names = list(here["libraries"])
    marker = make_private(settings.staging) / f".seen-by-workers-{token_hex(8)}"
    marker.touch(mode=0o600)
    try:
        told = client.run(look, names, settings.storage_bucket or str(marker), on_error="return")
    finally:
        marker.unlink(missing_ok=True)
    if not told:
        raise UnreachableError(
            "the Dask cluster has no worker",
            where=f"AIMASS_DASK_SCHEDULER={settings.dask_scheduler}",
            seen="0 workers",
            expected="at least one",
            cure="start workers for that scheduler: dask worker ADDRESS",
        )
    faults = {address: _wrong(found, here) for address, found in told.items()}
    try:
        faults["the scheduler"] = _wrong({**client.run_on_scheduler(installation.describe, names), "sees": True}, here)
    except Exception as error:  # noqa: BLE001 - whatever keeps it from telling, it is of no use
        faults["the scheduler"] = _wrong(error, here)
    faults = {address: wrong for address, wrong in faults.items() if wrong}
    if faults:
        raise SpecError(
            "a host of the Dask cluster is not like this machine",
            where=f"AIMASS_DASK_SCHEDULER={settings.dask_scheduler}, {', '.join(sorted(faults))}",
            seen=next(iter(faults.values())),
            expected=f"Python {here['python']}, the libraries of requirements.lock, code {here['code']}, as here;"
            f" and the storage {settings.storage_bucket or settings.storage}",
            cure="install the same release there (make env, or the same image); mount the storage at the same path, or"
            " start workers with the same AIMASS_STORAGE",
            faults=[f"{address}: {wrong}" for address, wrong in sorted(faults.items())],
        )
    return sorted(told)


def look(names: Sequence[str], storage: str, dask_worker: Any = None) -> dict[str, Any]:
    """Return what a worker has installed, and whether it sees the storage: a file in it, or the same object store."""
    stop_profiler(dask_worker)
    in_bucket = storage.startswith("s3://")
    sees = settings_module.load().storage_bucket == storage if in_bucket else Path(storage).exists()
    return {**installation.describe(names), "sees": sees}


def stop_profiler(worker: Any) -> None:
    """Stop what looks at all threads of a worker a hundred times a second, to draw a page that nobody sees here.

    On Python 3.11 a look during which garbage is collected can stop the whole process for ever (CPython's gh-106883).
    """
    for name in ("profile", "profile-cycle"):
        if name in worker.periodic_callbacks:
            worker.periodic_callbacks[name].stop()


@cache
def _stop_own_profiler() -> None:
    """Stop that of this process, if it is a worker: one that takes another's place was not asked before."""
    if (distributed := sys.modules.get("distributed")) is not None:
        with suppress(ValueError):  # it is none
            worker = distributed.get_worker()
            worker.loop.add_callback(stop_profiler, worker)


def _wrong(found: Any, here: dict[str, Any]) -> str:
    if isinstance(found, BaseException):
        return f"cannot tell what it has installed: {' '.join(str(found).split())[:200] or type(found).__name__}"
    wrong = installation.differences(found, here)
    return "; ".join([*wrong, *([] if found["sees"] else ["does not see the storage"])])


def on_each(work: Callable[[S], T], items: Sequence[S], *, here: bool = False) -> list[T]:
    """Call ``work(item)`` for every item on Dask, threads or cluster; return the results in order.

    Parameters
    ----------
    here
        On threads of this process in any case: the work changes what it holds, or needs a file of this machine.
    """
    import dask

    how: dict[str, Any] = {}
    if here:
        import dask.threaded

        how = {"scheduler": dask.threaded.get}
    return list(dask.compute(*later(work, items), traverse=False, **how))


def later(work: Callable[[S], T], items: Sequence[S]) -> list[Any]:
    """Return what :func:`on_each` computes as pieces of work that others may follow upon.

    To a cluster ``work``, with the plan and whatever else it holds, is sent once; workers pass it on to one another.
    """
    import dask

    shipped = dask.delayed(_Work(work, current()), name=f"work-{token_hex(8)}", traverse=False)
    call = dask.delayed(_call, pure=False, traverse=False)
    return [call(shipped, item) for item in items]


class _Work:
    """A function as data: one that Dask does not look into, and does not copy into every task."""

    def __init__(self, function: Callable[..., Any], shared: Shared | None) -> None:
        self.function, self.shared = function, shared


def _call(work: _Work, item: Any) -> Any:
    _stop_own_profiler()
    with nullcontext() if work.shared is None or work.shared == current() else shared_by(work.shared):
        return work.function(item)


def lanes(settings: Settings) -> int:
    """Return how many pieces of work Dask does at a time."""
    distributed = sys.modules.get("distributed")
    try:
        return sum(distributed.get_client().nthreads().values()) if distributed is not None else settings.cores
    except ValueError:
        return settings.cores
