"""Takes one version into service: proved first, switched at once, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pipelines.artifacts import Night
from pipelines.deployment.proof import prove
from pipelines.deployment.service import retire, served
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import AimassError, DeployError
from pipelines.gateway.private import private_gateway
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger, SupersededError
from pipelines.ledger.rows import VersionRow
from pipelines.settings import Settings, public_key
from pipelines.storage import resolve

ALERT = "deploy"


def release(spec: DeploySpec, night: Night, settings: Settings, ledger: Ledger, version: int) -> dict[str, Any]:
    """Prove a version over HTTP and make it live; return ``{"live", "why", "previous", "proof"}``.

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
        with (
            served(
                settings,
                ledger,
                model,
                version,
                spec.ready_timeout,
                platform=night.platform,
                fence=night.fence,
                instances=spec.instances,
            ) as address,
            private_gateway(settings, model, version, address) as client,
        ):
            opened = ModelDirectory.open(resolve(settings, row.model_uri), public_key(settings))
            proof = prove(client, opened, rows=spec.golden_rows, tolerance=spec.tolerance)
        warm = timedelta(minutes=spec.warm_minutes)
        ledger.switch(model, version, night.fence, _why(night, proof), "deploy", warm)
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
    retire(ledger, model, version, previous, platform=night.platform, fence=night.fence, instances=spec.instances)
    return {"live": True, "why": "proved", "previous": previous, "proof": proof}


def _overtaken(night: Night, live: VersionRow | None) -> str:
    """Tell which later night is live, if one is."""
    if live is None or live.as_of is None or live.as_of <= night.as_of:
        return ""
    return f"version {live.version} of the later night {live.as_of.isoformat()} is live"


def _why(night: Night, proof: dict[str, Any]) -> str:
    return f"night {night.night}: {proof['rows']} golden rows within {proof['largest_difference']:g}"


def _withdraw(night: Night, ledger: Ledger, version: int, message: str) -> None:
    """Leave everything as it was, and say so."""
    if night.platform:
        ledger.want(night.model.name, version, "stop")
    ledger.alert(night.model.name, "deploy_failed", message, ALERT)
