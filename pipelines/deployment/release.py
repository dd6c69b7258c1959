"""Takes one version into service: proved first, switched at once, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.artifacts import Night
from pipelines.deployment.proof import prove
from pipelines.deployment.serve import private_service
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import AimassError, DeployError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger, SupersededError
from pipelines.ledger.rows import ServiceRow, VersionRow
from pipelines.settings import Settings, public_key
from pipelines.storage import resolve
from pipelines.waiting import wait_until

ALERT = "deploy"
POLL_SECONDS = 0.2


def release(spec: DeploySpec, night: Night, settings: Settings, ledger: Ledger, version: int) -> dict[str, Any]:
    """Prove a version over HTTP and make it live; give ``{"live", "why", "previous", "proof"}``.

    A version that is live already is adopted. A night older than what is live is proved by nobody and switches
    nothing: a backfill never moves what is live.

    Raises
    ------
    DeployError
        The version cannot be served or fails its proof. The version that was live stays live, an alert is open.
    SupersededError
        A newer attempt of this night decides.
    """
    model = night.model.name
    live = ledger.champion(model)
    previous = None if live is None else int(live.version)
    if previous == version:
        return {"live": True, "why": "already live", "previous": previous, "proof": None}
    if why := _overtaken(night, live):
        return {"live": False, "why": why, "previous": previous, "proof": None}
    row = ledger.version(model, version)
    if row is None:
        raise DeployError("no such version", where=model, seen=version, expected="a registered version")
    ledger.reserve(model, night.night, night.fence)  # from here on an older attempt is refused
    try:
        with _served(spec, night, settings, ledger, version) as url:
            opened = ModelDirectory.open(resolve(settings, row.model_uri), public_key(settings))
            proof = prove(url, opened, rows=spec.golden_rows, tolerance=spec.tolerance)
        ledger.switch(model, version, night.fence, _why(night, proof), "deploy")
    except SupersededError:  # the newer attempt decides about the service too; a later night leaves it to this one
        why = _overtaken(night, ledger.champion(model))
        if not why:
            raise
        if night.platform:
            ledger.want(model, version, "stop", night.fence)
        return {"live": False, "why": why, "previous": previous, "proof": None}
    except AimassError as error:
        _withdraw(night, ledger, version, f"version {version} was not deployed: {error.what}; {error.seen}"[:500])
        raise
    except Exception as error:
        _withdraw(night, ledger, version, f"version {version} was not deployed: {type(error).__name__}: {error}"[:500])
        raise
    ledger.resolve_alert(model, ALERT)
    _retire(night, ledger, version)
    return {"live": True, "why": "proved", "previous": previous, "proof": proof}


def _overtaken(night: Night, live: VersionRow | None) -> str:
    """Tell which later night is live, if one is."""
    if live is None or live.as_of is None or live.as_of <= night.as_of:
        return ""
    return f"version {live.version} of the later night {live.as_of.isoformat()} is live"


@contextmanager
def _served(spec: DeploySpec, night: Night, settings: Settings, ledger: Ledger, version: int) -> Iterator[str]:
    """Yield the address of the running version: the platform's own service, or a private one that ends with this."""
    if night.platform:
        ledger.want(night.model.name, version, "serve", night.fence)
        port = _wait_ready(ledger, night.model.name, version, spec.ready_timeout)
        yield f"http://{settings.host}:{port}"
        return
    with private_service(settings, night.model.name, version, spec.ready_timeout) as url:
        yield url


def _wait_ready(ledger: Ledger, model: str, version: int, seconds: float) -> int:
    service: ServiceRow | None = None

    def settled() -> ServiceRow | None:
        nonlocal service
        service = next((row for row in ledger.serving(model) if row.version == version), None)
        done = service is not None and (service.actual == "failed" or (service.actual == "ready" and service.port))
        return service if done else None

    row = wait_until(settled, seconds=seconds, every=POLL_SECONDS)
    if row is not None and row.actual == "ready" and row.port:
        return int(row.port)
    raise DeployError(
        "the platform did not bring the new service up",
        where=f"{model} version {version}",
        seen="absent" if service is None else f"{service.actual} {service.detail}".strip(),
        expected=f"ready within {seconds:.0f} s",
        cure="see `aimass status` and the log of the bento; the old version stays live",
    )


def _why(night: Night, proof: dict[str, Any]) -> str:
    return f"night {night.night}: {proof['rows']} golden rows within {proof['largest_difference']:g}"


def _withdraw(night: Night, ledger: Ledger, version: int, message: str) -> None:
    """Leave everything as it was, and say so."""
    if night.platform:
        ledger.want(night.model.name, version, "stop")
    ledger.alert(night.model.name, "deploy_failed", message, ALERT)


def _retire(night: Night, ledger: Ledger, version: int) -> None:
    """Stop asking for the versions before; the supervisor lets callers follow the switch and drains them first.

    Without the platform the new version is only asked for; versions that a running platform still serves stay.
    """
    model = night.model.name
    others = [row for row in ledger.serving(model) if row.version != version and row.desired == "serve"]
    if not night.platform:
        ledger.want(model, version, "serve", night.fence)
        others = [row for row in others if row.actual not in ("ready", "starting")]
    for row in others:
        ledger.want(model, row.version, "stop")
