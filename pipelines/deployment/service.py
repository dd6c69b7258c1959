"""The service of a version that is to go live: brought up, and those of others let go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta

from pipelines.artifacts import Night
from pipelines.deployment.serve import private_service
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import DeployError
from pipelines.ledger import Ledger
from pipelines.ledger.rows import ServiceRow
from pipelines.settings import Settings
from pipelines.waiting import wait_until

POLL_SECONDS = 0.1
BEAT_SECONDS = 10.0
PROOF_SECONDS = 600.0
"""How long a proof may take before the lease of its service is over."""


def platform_runs(settings: Settings, ledger: Ledger | None = None) -> bool:
    """Tell whether a controller is at work: the platform's touches a file with every pass, other hosts hold leases."""
    with suppress(OSError):
        if time.time() - settings.controller_beat.stat().st_mtime < BEAT_SECONDS:
            return True
    return ledger is not None and any(host.live for host in ledger.hosts())


@contextmanager
def served(
    settings: Settings,
    ledger: Ledger,
    model: str,
    version: int,
    seconds: float,
    *,
    platform: bool,
    fence: int = 0,
    instances: int | None = None,
    hosts: int | None = None,
) -> Iterator[str]:
    """Yield the address of the running version: the platform's own service, or a private one that ends with this.

    The platform's has a lease: should this process die, the service ends, too. Longer work asks for it again.

    Raises
    ------
    DeployError
        It is not ready in time.
    """
    if platform:
        until = datetime.now(UTC) + timedelta(seconds=seconds + PROOF_SECONDS)
        ledger.want(model, version, "serve", fence, instances=instances, until=until, hosts=hosts)
        yield wait_ready(ledger, model, version, seconds)
        return
    with private_service(settings, model, version, seconds) as address:
        yield address


def released_service(
    settings: Settings, ledger: Ledger, night: Night, version: int, spec: DeploySpec
) -> AbstractContextManager[str]:
    """Yield the address of the service of the version that a night releases, as :func:`served` does."""
    return served(
        settings,
        ledger,
        night.model.name,
        version,
        spec.ready_timeout,
        platform=night.platform,
        fence=night.fence,
        instances=spec.instances,
        hosts=spec.hosts,
    )


def keep_leased(ledger: Ledger, night: Night, version: int, spec: DeploySpec) -> None:
    """Ask for the service of a candidate to go on while its release does."""
    until = datetime.now(UTC) + timedelta(seconds=PROOF_SECONDS)
    count = {"instances": spec.instances, "hosts": spec.hosts}
    ledger.want(night.model.name, version, "serve", night.fence, until=until, **count)


def wait_ready(ledger: Ledger, model: str, version: int, seconds: float) -> str:
    """Return the address of the platform's service once all instances are ready.

    Raises
    ------
    DeployError
        It failed, or is not ready in time.
    """
    seen: ServiceRow | None = None

    def settled() -> ServiceRow | None:
        nonlocal seen
        seen = next((row for row in ledger.serving(model) if row.version == version), None)
        done = seen is not None and (seen.actual == "failed" or (seen.actual == "ready" and seen.address))
        return seen if done else None

    row = wait_until(settled, seconds=seconds, every=POLL_SECONDS)
    if row is not None and row.actual == "ready" and row.address:
        return row.address
    raise DeployError(
        "the platform did not bring the new service up",
        where=f"{model} version {version}",
        seen="absent" if seen is None else f"{seen.actual} {seen.detail}".strip(),
        expected=f"ready within {seconds:.0f} s",
        cure="see `aimass status` and the log of the bento; the old version stays live",
    )


def retire(
    ledger: Ledger,
    model: str,
    version: int,
    previous: int | None,
    *,
    platform: bool,
    fence: int = 0,
    instances: int | None = None,
    hosts: int | None = None,
) -> None:
    """Stop asking for the versions before; the controller lets callers follow the switch and drains them first.

    The previous one stays warm until its lease is over. Without the platform the new version is only asked for; what a
    running platform still serves stays.
    """
    others = [row for row in ledger.serving(model) if row.version != version and row.desired == "serve"]
    if not platform:
        ledger.want(model, version, "serve", fence, instances=instances, hosts=hosts)
    for row in others:
        runs = row.actual in ("ready", "starting")
        if not runs or (platform and row.version != previous):
            ledger.want(model, row.version, "stop")
