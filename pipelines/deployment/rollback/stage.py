"""Operation rollback: a version that was in service, proved again and switched to."""

from __future__ import annotations

import logging
import time

from pipelines.artifacts import Outcome
from pipelines.deployment.follow import AliasFollower
from pipelines.deployment.proof import prove
from pipelines.deployment.replay import replay
from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.service import platform_runs, retire, served
from pipelines.errors import DeployError, SpecError
from pipelines.gateway.private import private_gateway
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.ledger.rows import VersionRow
from pipelines.settings import Settings, public_key
from pipelines.storage import resolve

GOLDEN_ROWS = 200
MLFLOW_SECONDS = 3.0
"""How long MLflow's aliases are waited for; later ones follow with the next switch or night."""

log = logging.getLogger(__name__)


def run(spec: RollbackSpec, *, settings: Settings) -> Outcome:
    """Make an earlier version live again.

    Its service repeats its golden predictions and what it predicted for logged requests before callers reach it; the
    version that was live stays so until then.

    Raises
    ------
    SpecError
        No model or reason is given, or there is no such version.
    DeployError
        The version cannot be served or predicts otherwise than before; nothing is switched.
    """
    started = time.monotonic()
    with Ledger.open(settings) as ledger:
        live = ledger.route(spec.model)
        row = target(spec, ledger, live)
        version = row.version
        if version == live:
            return Outcome(stats={"model": spec.model, "version": version, "from": live, "why": "already live"})
        platform = platform_runs(settings)
        with AliasFollower(settings, ledger, spec.model) as aliases:
            try:
                opened = ModelDirectory.open(resolve(settings, row.model_uri), public_key(settings))
                with (
                    served(settings, ledger, spec.model, version, spec.ready_timeout, platform=platform) as address,
                    private_gateway(settings, spec.model, version, address) as client,
                ):
                    proof = prove(client, opened, rows=GOLDEN_ROWS, tolerance=spec.tolerance)
                    repeated = replay(
                        client, settings.storage, spec.model, version, rows=spec.replayed, tolerance=spec.tolerance
                    )
            except DeployError:
                if platform:
                    ledger.want(spec.model, version, "stop")
                raise
            ledger.switch(spec.model, version, 0, spec.why, spec.actor)
            retire(ledger, spec.model, version, platform=platform)
            seconds = time.monotonic() - started
            aliases.go(MLFLOW_SECONDS)
    proved = f"{proof['rows']} golden and {repeated} logged predictions repeated"
    log.info(f"{spec.model}: version {version} is live, version {live} was; {proved}, {seconds:.1f} s")
    return Outcome(
        stats={
            "model": spec.model,
            "version": version,
            "from": live,
            "why": spec.why,
            "golden_rows": proof["rows"],
            "logged_rows": repeated,
            "largest_difference": proof["largest_difference"],
            "seconds": round(seconds, 3),
        }
    )


def target(spec: RollbackSpec, ledger: Ledger, live: int | None) -> VersionRow:
    """Return the version that is to go live.

    Raises
    ------
    SpecError
        The model, the reason or the version is missing.
    """
    if not spec.model or not spec.why.strip():
        missing = "model" if not spec.model else "why"
        raise SpecError(
            "a rollback needs a model and a reason",
            where=f"RollbackSpec.{missing}",
            seen="nothing",
            cure="aimass rollback NAME --why TEXT",
        )
    known = {row.version: row for row in ledger.versions(spec.model)}
    if not known:
        names = ", ".join(sorted(ledger.routes())) or "none"
        raise SpecError(
            "no such model has a version", seen=spec.model, expected=f"one of {names}", cure="aimass models"
        )
    wanted = spec.to
    if wanted is None:
        switches = ledger.history(spec.model)
        wanted = next((each.from_version for each in reversed(switches) if each.to_version == live), None)
        if wanted is None:
            raise SpecError(
                "no other version was live before",
                where=spec.model,
                seen=f"live: {live or 'none'}",
                cure=f"name one of {', '.join(map(str, sorted(known)))} with --to",
            )
    if wanted not in known:
        raise SpecError(
            "no such version", where=spec.model, seen=wanted, expected=f"one of {', '.join(map(str, sorted(known)))}"
        )
    return known[wanted]
