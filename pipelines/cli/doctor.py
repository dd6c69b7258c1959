"""`aimass doctor`: what an installation needs to work, checked one by one, with the cure of what is wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from pipelines.cli.checked import Checked
from pipelines.cli.doctor_clusters import check_dask, check_ray
from pipelines.cli.doctor_network import NETWORK
from pipelines.errors import AimassError
from pipelines.settings import Settings

PYTHONS = ((3, 11), (3, 12))
FREE_GB, FREE_SHARE = 2.0, 0.05
FLOORS = ("joblib>=1.5", "skops>=0.16")
"""Besides the package's own requirements: what only other libraries import, as in pyproject.toml."""
LOCKS = ("requirements.lock", "docker/serving.lock")
"""By which an environment was made; the image that serves has the second alone."""
PATIENCE_S = 5.0
"""Seconds for which an object store is asked."""


def examine(settings: Settings) -> list[Checked]:
    """Return the result of every check; one that cannot be made is itself a result."""
    found: list[Checked] = []
    machine = (_python, _libraries, _home, _secrets, _disk, _memory, _clock)
    for check in (*machine, _ledger, _stores, _channels, _ports, *NETWORK, _gpu, check_dask, check_ray):
        try:
            found += check(settings)
        except Exception as error:  # noqa: BLE001  # the other checks are to be made all the same
            name = check.__name__.lstrip("_")
            found.append(Checked(name, "wrong", f"{type(error).__name__}: {error}"[:300], "correct what it names"))
    return found


def _python(_: Settings) -> Iterator[Checked]:
    good = sys.version_info[:2] in PYTHONS
    expected = " or ".join(".".join(map(str, each)) for each in PYTHONS)
    yield Checked(
        "python", "ok" if good else "wrong", sys.version.split()[0], "" if good else f"use {expected}: make env"
    )


def _libraries(_: Settings) -> Iterator[Checked]:
    root = Path(__file__).parents[2]
    lock = next((path for name in LOCKS if (path := root / name).is_file()), None)
    pins = _requirements(line.rstrip("\\ ") for line in lock.read_text().splitlines()) if lock else []
    other = [
        f"{each.name} {seen} instead of {each.specifier}"
        for each, seen in _installed(pins)
        if seen not in each.specifier
    ]
    cure = "make env installs exactly what the lock names" if other else ""
    told = f"{len(pins)} as locked" if lock else "no lock beside the code: looked at their floors alone"
    yield Checked("libraries", "warning" if other else "ok", "; ".join(other[:5]) or told, cure)
    for each, seen in _installed(_requirements([*(requires("aimass") or ()), *FLOORS])):
        if seen not in each.specifier:
            yield Checked(f"library {each.name}", "wrong", seen, f"{each.specifier}: make env")


def _requirements(lines: Iterable[str]) -> list[Requirement]:
    """Return the requirements that hold for this Python and platform, and for no extra."""
    found = []
    for line in lines:
        try:
            each = Requirement(line)
        except InvalidRequirement:
            continue  # a hash, a comment
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            found.append(each)
    return found


def _installed(needed: Iterable[Requirement]) -> Iterator[tuple[Requirement, str]]:
    for each in needed:
        try:
            yield each, version(each.name)
        except PackageNotFoundError:
            continue  # of an extra that is not used


def _home(settings: Settings) -> Iterator[Checked]:
    if not settings.home.is_dir():
        yield Checked(
            "home", "warning", f"{settings.home} is not there yet", "the first command that needs it makes it"
        )
        return
    mode = settings.home.stat().st_mode & 0o777
    writable = os.access(settings.home, os.W_OK | os.X_OK)
    good = not mode & 0o077 and writable
    yield Checked("home", "ok" if good else "wrong", f"{settings.home}, mode {mode:o}", f"chmod 700 {settings.home}")


def _secrets(settings: Settings) -> Iterator[Checked]:
    files = [path for path in settings.secrets.rglob("*") if path.is_file()] if settings.secrets.is_dir() else []
    loose = [path.name for path in files if path.stat().st_mode & 0o077]
    cure = f"chmod 600 {settings.secrets}/*" if loose else ""
    yield Checked("secrets", "wrong" if loose else "ok", ", ".join(loose) or f"{len(files)} files, all private", cure)


def _disk(settings: Settings) -> Iterator[Checked]:
    at = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    usage = shutil.disk_usage(at)
    free = usage.free / 1e9
    low = free < FREE_GB or usage.free / usage.total < FREE_SHARE
    cure = "free space, or let housekeeping keep less (HousekeepingSpec)"
    yield Checked(
        "disk", "wrong" if low else "ok", f"{free:.1f} of {usage.total / 1e9:.1f} GB free", cure if low else ""
    )


def _memory(settings: Settings) -> Iterator[Checked]:
    import psutil

    total, free = psutil.virtual_memory().total / 1e9, psutil.virtual_memory().available / 1e9
    low = free < settings.memory_gb
    cure = f"lower AIMASS_MEMORY_GB ({settings.memory_gb:g}), or end other work" if low else ""
    yield Checked("memory", "warning" if low else "ok", f"{free:.1f} of {total:.1f} GB free", cure)


def _clock(settings: Settings) -> Iterator[Checked]:
    now = datetime.now(UTC)
    newest = settings.controller_beat.stat().st_mtime if settings.controller_beat.exists() else 0.0
    ahead = newest - now.timestamp()
    late = ahead > 60
    seen = f"{now:%Y-%m-%d %H:%M:%S} UTC" + (f", {timedelta(seconds=round(ahead))} before what it was" if late else "")
    yield Checked("clock", "wrong" if late else "ok", seen, "set the clock (NTP)" if late else "")


def _ledger(settings: Settings) -> Iterator[Checked]:
    from pipelines.ledger import Ledger

    if settings.ledger_url is None and not settings.ledger_path.exists():
        yield Checked("ledger", "ok", "none yet")
        return
    with Ledger.open(settings) as ledger:
        broken = ledger.broken_history()
        models = len(ledger.models())
    if broken is None:
        yield Checked("ledger", "ok", f"{models} models, history verified")
    else:
        yield Checked(
            "ledger", "wrong", f"entry {broken.id} was changed afterwards", "restore a backup: aimass restore"
        )


def _stores(settings: Settings) -> Iterator[Checked]:
    from pipelines.object_store import open_store
    from pipelines.object_store.probe import SKEW_S, probe

    for name, address in (("storage", settings.storage_bucket), ("backups", settings.backups_bucket)):
        if address is None:
            folder = settings.storage if name == "storage" else settings.backups
            yield Checked(name, "ok", f"the folder {folder}")
            continue
        try:
            store = open_store(settings, address, patience=PATIENCE_S)
            ahead = probe(store)
        except AimassError as error:
            yield Checked(name, "wrong", f"{error.what}; {error.where}: {error.seen}", error.cure)
            continue
        late = abs(ahead) > SKEW_S
        seen = f"{address} at {store.endpoint}" + (f"; its clock is {ahead:+.0f} s from this one" if late else "")
        cure = "set the clock (NTP) of the one that is wrong: at 15 minutes every request is refused" if late else ""
        yield Checked(name, "wrong" if late else "ok", seen, cure)


def _channels(settings: Settings) -> Iterator[Checked]:
    from pipelines.alerting.channels import channels_of
    from pipelines.ledger import Ledger

    names = [channel.name for channel in channels_of(settings)]
    if not names or (settings.ledger_url is None and not settings.ledger_path.exists()):
        yield Checked("alert channels", "ok", ", ".join(names) or "none; alerts go to the log file alone")
        return
    with Ledger.open(settings) as ledger:
        rows = {row.name: row for row in ledger.channels()}
    for name in names:
        row = rows.get(name)
        if row is not None and row.failures:
            seen = f"fails since {row.failing_since:%Y-%m-%d %H:%M} UTC: {row.error}"
            yield Checked(
                f"alert channel {name}", "wrong", seen, f"correct AIMASS_ALERT_{name.upper()}: aimass alerts test"
            )
        else:
            used = row.delivered_at if row is not None else None
            seen = f"last used {used:%Y-%m-%d %H:%M} UTC" if used is not None else "not used yet: aimass alerts test"
            yield Checked(f"alert channel {name}", "ok", seen)


def _ports(settings: Settings) -> Iterator[Checked]:
    from pipelines.local import supervisor
    from pipelines.local.components import ports

    if supervisor.current(settings) is not None:
        yield Checked("platform", "ok", "runs")
        return
    if supervisor.recall(settings) is not None:
        yield Checked("platform", "wrong", "its supervisor was killed", "aimass up sweeps up and starts it again")
    for name, port in ports(settings).items():
        with socket.socket() as probe:
            taken = probe.connect_ex((settings.host, port)) == 0
        cure = f"end what listens there, or set AIMASS_{name.upper()}" if taken else ""
        yield Checked(
            name.replace("_", " "), "wrong" if taken else "ok", f"{port} {'taken' if taken else 'free'}", cure
        )


def _gpu(_: Settings) -> Iterator[Checked]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield Checked("gpu", "ok", "none; trials run on CPUs")
        return
    done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
    good = done.returncode == 0
    yield Checked("gpu", "ok" if good else "warning", (done.stdout or done.stderr).strip()[:200], "" if good else tool)
