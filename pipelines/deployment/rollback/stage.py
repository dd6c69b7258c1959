"""Operation rollback: a version that was in service, proved again and switched to."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pipelines.artifacts import Outcome
from pipelines.deployment.follow import AliasFollower, gateway_follows
from pipelines.deployment.proof import prove
from pipelines.deployment.release import PAUSED
from pipelines.deployment.replay import replay
from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.service import platform_runs, retire, served
from pipelines.errors import SpecError
from pipelines.gateway.private import private_gateway
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.ledger.archive import refuse_archived
from pipelines.ledger.older_nights import ALERT as OLDER
from pipelines.ledger.rows import SwitchRow, VersionRow
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import bring_newest_logs, resolve

GOLDEN_ROWS = 200
ROLLBACK = "rollback"
"""How the actor of a rollback begins in the history."""
AGAIN = timedelta(minutes=10)
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
        No model or reason is given, there is no such version, or the model is archived.
    DeployError
        The version cannot be served or predicts otherwise than before; nothing is switched.
    """
    started = time.monotonic()
    with Ledger.open(settings) as ledger:
        live = ledger.route(spec.model)
        if (done := just_done(spec, ledger)) is not None:
            return Outcome(stats={"model": spec.model, "version": done, "from": live, "why": "already live"})
        refuse_archived(ledger.catalog_row(spec.model))
        row = target(spec, ledger, live)
        version = row.version
        if version == live:
            for each in ledger.rollouts(spec.model):  # to stay where one is ends what is under way
                ledger.end_rollout(each.id, "aborted", f"{spec.actor}: {spec.why}")
            ledger.resolve_alert(spec.model, PAUSED)
            return Outcome(stats={"model": spec.model, "version": version, "from": live, "why": "already live"})
        platform = platform_runs(settings, ledger)
        now = [each for each in ledger.serving(spec.model) if each.version == live]
        instances = max((each.instances for each in now), default=None)
        hosts = max((each.hosts for each in now), default=None)
        with AliasFollower(settings, ledger, spec.model) as aliases:
            try:
                opened = ModelDirectory.open(resolve(settings, row.model_uri), public_key(settings))
                with (
                    served(
                        settings,
                        ledger,
                        spec.model,
                        version,
                        spec.ready_timeout,
                        platform=platform,
                        instances=instances,
                        hosts=hosts,
                    ) as address,
                    private_gateway(settings, spec.model, version, address) as client,
                ):
                    proof = prove(client, opened, rows=GOLDEN_ROWS, tolerance=spec.tolerance)
                    repeated, left_out = replay(
                        client,
                        bring_newest_logs(settings, spec.model),
                        spec.model,
                        version,
                        opened.schema,
                        rows=spec.replayed,
                        tolerance=spec.tolerance,
                    )
            except Exception:
                if platform:
                    ledger.want(spec.model, version, "stop")
                raise
            warm = timedelta(minutes=spec.warm_minutes)
            ledger.resolve_alert(spec.model, PAUSED)
            ledger.switch(spec.model, version, 0, spec.why, spec.actor, warm=warm)
            ledger.resolve_alert(spec.model, OLDER)  # nights after the date of this version can go live again
            retire(ledger, spec.model, version, live, platform=platform, instances=instances, hosts=hosts)
            if platform:
                gateway_follows(settings, spec.model, version)
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
            "logged_rows_left_out": left_out,
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
        wanted = _before(ledger.history(spec.model), live)
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


def just_done(spec: RollbackSpec, ledger: Ledger) -> int | None:
    """Return the version that the same rollback made live a moment ago: a retry must not go back once more.

    Raises
    ------
    SpecError
        Another rollback did so, and no version is named.
    """
    last = next(reversed(ledger.history(spec.model)), None)
    recent = last is not None and datetime.now(UTC) - last.at < AGAIN
    if spec.to is not None or last is None or not recent or not last.actor.startswith(ROLLBACK):
        return None
    if last.why == spec.why:
        return last.to_version
    raise SpecError(
        "another rollback was made a moment ago",
        where=spec.model,
        seen=f"version {last.to_version} by {last.actor}: {last.why}",
        expected=f"{AGAIN.total_seconds() / 60:.0f} minutes between two, or a version",
        cure="name the version that shall be live with --to",
    )


def _before(switches: Sequence[SwitchRow], live: int | None) -> int | None:
    """Return the version that was live before, leaving out those that a rollback has left."""
    left = {each.from_version for each in switches if each.actor.startswith(ROLLBACK)}
    for each in reversed(switches):
        if each.from_version is not None and each.from_version != live and each.from_version not in left:
            return each.from_version
    return None
