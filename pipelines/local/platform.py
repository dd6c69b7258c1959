"""Up, down and status of the one-machine platform."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import psutil
from circus.exc import CallError

from pipelines.errors import AimassError, SpecError
from pipelines.local import supervisor
from pipelines.local.airflow_config import MARK, airflow_environment
from pipelines.local.components import components, ports, watcher
from pipelines.local.databases import prepare_databases
from pipelines.local.health import waiting_for
from pipelines.local.machines import announce
from pipelines.local.processes import check_ports, describe, mark_of, sweep
from pipelines.locks import try_lock
from pipelines.settings import Settings, make_private
from pipelines.storage.file_io import tail

READY_SECONDS = 120
DEATHS = 3
API = "airflow-api"
Say = Callable[[str], None]


class PlatformBusyError(AimassError):
    """Another command is just starting or stopping the platform."""


@dataclass(frozen=True)
class PartState:
    """One line of ``aimass status``."""

    component: str
    state: str
    pid: int | None = None
    port: int | None = None
    uptime: float | None = None


def _silent(_: str) -> None:
    """Say nothing."""


def up(
    settings: Settings, say: Say = _silent, wait: bool = True, when: Callable[[], bool] | None = None
) -> list[PartState]:
    """Start the platform and wait until every part works; do nothing if it runs already.

    Parameters
    ----------
    when
        Asked once no other command can start or stop it meanwhile: whether to start it at all.

    Raises
    ------
    SpecError
        If a port is taken.
    PlatformBusyError
        If another command is at work on it.
    AimassError
        If a part does not become healthy; what was started is stopped again.
    """
    settings.ensure()
    with _alone(settings):
        if when is not None and not when():
            return status(settings)
        running = supervisor.current(settings)
        if running is not None and _responds(running):
            if running.ports != ports(settings):
                raise SpecError(
                    "the platform runs on other ports",
                    where=str(settings.home),
                    seen=running.ports,
                    expected=ports(settings),
                    cure="stop it first (aimass down), then start it with the new ports",
                )
            say("already running")
            since = running.created
        else:
            if left := sweep(settings):
                raise AimassError("a part of an earlier platform does not end", seen=", ".join(map(describe, left)))
            supervisor.forget(settings)
            check_ports(settings.host, ports(settings))
            announce(settings, {part.name for part in components(settings)})
            since = time.time()
            running = _start(settings, say)
        if wait:
            try:
                _wait_healthy(settings, running, since, say)
            except BaseException:
                if since != running.created:
                    _stop(settings, _silent)
                raise
        return status(settings)


def down(settings: Settings, say: Say = _silent) -> None:
    """Stop the platform in order, and make sure that no process is left.

    Raises
    ------
    AimassError
        If a process or a listening socket of ours stays.
    """
    if not settings.home.is_dir():
        return
    with _alone(settings):
        _stop(settings, say)


def status(settings: Settings) -> list[PartState]:
    """Return the state of every part; fixed parts that do not run are ``stopped``."""
    fixed = components(settings)
    running = supervisor.current(settings)
    if running is None:
        return [PartState(part.name, "stopped", port=part.port) for part in fixed]
    try:
        states = running.call("status").get("statuses", {})
    except CallError:
        return [PartState(part.name, "unknown", port=part.port) for part in fixed]
    unhealthy = set(waiting_for(settings, since=0.0))
    known = {part.name: part for part in fixed}
    lines = []
    for name in (*known, *sorted(set(states) - set(known))):
        process = _process(running, name) if states.get(name) == "active" else None
        state = "stopped" if process is None else "unhealthy" if name in unhealthy else "running"
        lines.append(
            PartState(
                name,
                state,
                process.pid if process else None,
                known[name].port if name in known else None,
                time.time() - process.create_time() if process else None,
            )
        )
    return lines


def restart(settings: Settings, component: str) -> None:
    """Restart one part."""
    running = supervisor.current(settings)
    if running is None:
        raise SpecError("the platform does not run", where=str(settings.home), cure="start it: aimass up")
    running.call("restart", timeout=60, name=component, waiting=True)


def _start(settings: Settings, say: Say) -> supervisor.RunningPlatform:
    environment = airflow_environment(
        settings, home=settings.airflow_home, dags=settings.dags, port=settings.airflow_port
    )
    environment[MARK] = mark_of(settings)
    prepare_databases(settings, environment, say)
    make_private(settings.mlflow_dir / "artifacts")
    if not settings.dags.exists():
        make_private(settings.dags)
    say("starting")
    watchers = [watcher(settings, part) for part in components(settings)]
    return supervisor.start(settings, watchers, environment, ports(settings))


def _wait_healthy(settings: Settings, running: supervisor.RunningPlatform, since: float, say: Say) -> None:
    deadline = time.monotonic() + READY_SECONDS
    told: list[str] = []
    born: dict[str, set[int]] = {}
    warming = API not in {part.name for part in components(settings)}
    while True:
        missing = waiting_for(settings, since)
        if not warming and API not in missing:
            warming = _warm(settings)
            continue
        if not missing:
            return
        if missing != told:
            say("waiting for " + ", ".join(missing))
            told = missing
        for name in missing:
            process = _process(running, name)
            if process is not None:
                born.setdefault(name, set()).add(process.pid)
        dying = [name for name, pids in born.items() if len(pids) > DEATHS]
        late = time.monotonic() > deadline
        if dying or late or not running.alive():
            log = settings.logs / f"{(dying or missing)[0]}.log"
            what = f"{dying[0]} ends again and again" if dying else f"not healthy: {', '.join(missing)}"
            raise AimassError(what, where=str(log), seen=tail(log), cure="read the log file")
        time.sleep(0.3)


def _warm(settings: Settings) -> bool:
    """Let Airflow build its task API now; otherwise its first task would wait seconds for it."""
    with contextlib.suppress(httpx.HTTPError):
        address = f"{settings.airflow_url}/execution/health"
        httpx.get(address, timeout=60.0, trust_env=False, verify=settings.trusted)
    return True


def _stop(settings: Settings, say: Say) -> None:
    running = supervisor.current(settings)
    if running is not None and _responds(running):
        with contextlib.suppress(CallError):
            for part in (part for part in components(settings) if part.first):
                say(f"stopping {part.name}")
                running.call("stop", timeout=part.grace + 20, name=part.name, waiting=True)
            say("stopping the rest")
            running.call("quit", timeout=60, waiting=True)
        with contextlib.suppress(psutil.Error):
            psutil.Process(running.pid).wait(timeout=15)
    left = sweep(settings)
    supervisor.forget(settings)
    if left:
        raise AimassError(
            "the platform left processes behind", seen=", ".join(map(describe, left)), cure="end them by their pid"
        )


def _responds(running: supervisor.RunningPlatform) -> bool:
    try:
        return "numwatchers" in running.call("numwatchers")
    except CallError:
        return False


def _process(running: supervisor.RunningPlatform, name: str) -> psutil.Process | None:
    with contextlib.suppress(CallError, psutil.Error, IndexError, KeyError):
        return psutil.Process(running.call("list", name=name)["pids"][0])
    return None


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the lock under which the platform is started and stopped."""
    path = make_private(settings.run_dir) / "platform.lock"
    held = try_lock(path)
    if held is None:
        raise PlatformBusyError(
            "the platform is just being started or stopped by another command",
            where=str(path),
            cure="wait until it is done",
        )
    with held:
        yield
