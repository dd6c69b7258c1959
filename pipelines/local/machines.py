"""Machines of one installation: each tells the others, through the broker, its libraries, secrets and clock.

The one that schedules is what the others are measured by: a worker with other versions would compute other models.
"""

from __future__ import annotations

import hashlib
import json
import platform
import socket
import time
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from typing import TYPE_CHECKING

from pipelines.errors import SpecError
from pipelines.local.executors import tls_of
from pipelines.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

KEY = "aimass:machines"
SCHEDULER = "airflow-scheduler"
PATIENCE_S = 5.0
SHOWN = 5
SHARED_SECRETS = ("signing_key.pem", "mlflow_token", "airflow_jwt")
"""Files that are the same on all machines: what one signs, or logs in with, another checks."""


@dataclass(frozen=True)
class Machine:
    """What a machine told when its parts were started."""

    name: str
    python: str
    libraries: dict[str, str]
    secrets: dict[str, str]
    """Name of a shared secret → what tells it from another."""
    schedules: bool
    at: float
    """Its clock, seconds since 1970."""


def this_machine(settings: Settings, parts: set[str]) -> Machine:
    """Return what this machine tells."""
    return Machine(
        socket.gethostname(),
        platform.python_version(),
        {each.metadata["Name"].lower(): each.version for each in distributions()},
        {name: mark for name in SHARED_SECRETS if (mark := _mark(settings, name))},
        SCHEDULER in parts,
        time.time(),
    )


def _mark(settings: Settings, name: str) -> str:
    path = settings.secrets / name
    return hashlib.sha256(name.encode() + path.read_bytes()).hexdigest()[:12] if path.is_file() else ""


def redis_of(address: str, settings: Settings) -> Redis:
    """Return a client of a Redis or Valkey that gives up soon."""
    from redis import Redis

    given = tls_of(settings) if address.startswith("rediss://") else {}
    return Redis.from_url(
        address, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, decode_responses=True, **given
    )


def announce(settings: Settings, parts: set[str]) -> None:
    """Tell the other machines of this one, before its parts start; nothing where one machine is all there is.

    Raises
    ------
    SpecError
        Its Python, a library or a secret is not that of the machine that schedules.
    """
    if settings.celery_broker is None:
        return
    own = this_machine(settings, parts)
    with redis_of(settings.celery_broker.get_secret_value(), settings) as client:
        scheduler = next((each for each in machines(client) if each.schedules), None)
        faults = [] if own.schedules or scheduler is None else differences(own, scheduler)
        if faults:
            raise SpecError(
                "this machine is not as the one that schedules",
                where=own.name,
                seen=f"{len(faults)} differences from {scheduler.name if scheduler else ''}",
                expected="the same Python, libraries and secrets",
                cure="make env on both with one lock, and copy the folder of secrets (AIMASS_SECRETS_FOLDER)",
                faults=faults,
            )
        if own.schedules:
            for each in machines(client):
                if each.schedules:
                    client.hdel(KEY, each.name)
        client.hset(KEY, own.name, json.dumps(asdict(own)))


def machines(client: Redis) -> list[Machine]:
    """Return all machines that told of themselves; one of another release that tells otherwise is left out."""
    found = []
    for text in dict(client.hgetall(KEY)).values():
        try:
            found.append(Machine(**json.loads(text)))
        except (TypeError, ValueError):
            continue
    return sorted(found, key=lambda each: each.name)


def differences(own: Machine, other: Machine) -> list[str]:
    """Return what differs between two machines, both sides named; the first few libraries, then a count."""
    found = []
    if own.python.rpartition(".")[0] != other.python.rpartition(".")[0]:
        found.append(f"Python {own.python} on {own.name}, {other.python} on {other.name}")
    names = sorted(
        name for name in own.libraries.keys() & other.libraries.keys() if own.libraries[name] != other.libraries[name]
    )
    found += [
        f"{name} {own.libraries[name]} on {own.name}, {other.libraries[name]} on {other.name}" for name in names[:SHOWN]
    ]
    if len(names) > SHOWN:
        found.append(f"{len(names) - SHOWN} more libraries")
    return found + [
        f"the secret {name} on {own.name} is not that of {other.name}"
        for name, mark in own.secrets.items()
        if other.secrets.get(name, mark) != mark
    ]
