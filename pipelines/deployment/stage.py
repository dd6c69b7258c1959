"""Stage deploy: verified service in, live version out."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.deployment.canary import PausedError, beating, run_canary
from pipelines.deployment.follow import AliasFollower, gateway_follows
from pipelines.deployment.release import ALERT, PAUSED, Candidate, candidate, overtaken, withdrawn_on_failure
from pipelines.deployment.service import keep_leased, released_service, retire
from pipelines.deployment.spec import DeploySpec
from pipelines.ledger import Ledger, SupersededError
from pipelines.ledger.rollouts import EndedError
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(
    spec: DeploySpec, *, night: Night, settings: Settings, out: Path, verify: Artifact, register: Artifact
) -> Outcome:
    """Take the version through its canary and switch to it; leaves ``deployment.json``.

    MLflow's aliases follow the ledger.

    Raises
    ------
    DeployError
        The canary shows that it is worse, or another release of the model is under way. The version that was live
        stays live, an alert is open.
    SupersededError
        A newer attempt of this night decides.
    """
    proof = verify.ref.meta["proof"]
    with Ledger.open(settings) as ledger, AliasFollower(settings, ledger, night.model.name) as aliases:
        released = candidate(ledger, night, register)
        if released.settled:
            live = released.previous == released.version
            result: dict[str, Any] = {"live": live, "why": released.settled, "previous": released.previous}
        else:
            result = go_live(spec, night, settings, ledger, released, proof)
        if result["live"]:
            aliases.go()
    write_json(out / "deployment.json", {"version": released.version, **result, "proof": proof})
    state = "live" if result["live"] else "not live"
    log.info(f"{night.model.name} version {released.version} is {state}: {result['why']}")
    return Outcome(meta={"version": released.version, "live": result["live"]}, stats=result)


def go_live(
    spec: DeploySpec,
    night: Night,
    settings: Settings,
    ledger: Ledger,
    released: Candidate,
    proof: dict[str, Any] | None,
) -> dict[str, Any]:
    """Make a verified version live; return ``{"live", "why", "previous", "canary"}``."""
    model, version, previous = night.model.name, released.version, released.previous
    ledger.reserve(model, night.night, night.fence)  # from here on an older attempt is refused
    with withdrawn_on_failure(ledger, night, version):
        rollout = ledger.begin_rollout(model, version, previous, night.night, night.fence)
    steps: list[dict[str, Any]] = []
    try:
        with withdrawn_on_failure(ledger, night, version), beating(ledger, rollout.id):
            if night.platform:
                with released_service(settings, ledger, night, version, spec):
                    if spec.canary and previous is not None:
                        renew = partial(keep_leased, ledger, night, version, spec)
                        steps = run_canary(spec, ledger, rollout, renew)
            elif spec.canary and previous is not None:
                log.warning("no platform runs, so nobody calls: the version takes over without its canary")
            warm = timedelta(minutes=spec.warm_minutes)
            ledger.switch(
                model, version, night.fence, _why(night, proof, steps), "deploy", rollout=rollout.id, warm=warm
            )
    except PausedError as paused:
        ledger.end_rollout(rollout.id, "paused", str(paused.seen))
        ledger.want(model, version, "stop")
        ledger.alert(model, "canary_paused", f"{paused.where}: {paused.what}; {paused.seen}. {paused.cure}", PAUSED)
        return {"live": False, "why": f"{paused.what}; {paused.seen}", "previous": previous, "canary": steps}
    except EndedError as ended:
        live = ledger.route(model) == version
        if not live:
            ledger.want(model, version, "stop")
        return {"live": live, "why": f"ended by somebody else: {ended.seen}", "previous": previous, "canary": steps}
    except SupersededError:  # the newer attempt decides about the service too; a later night leaves it to this one
        why = overtaken(night, ledger.champion(model))
        ledger.end_rollout(rollout.id, "aborted", why or "a newer attempt")
        if not why:
            raise
        if night.platform:
            ledger.want(model, version, "stop", night.fence)
        return {"live": False, "why": why, "previous": previous, "canary": steps}
    except Exception as error:
        ledger.end_rollout(rollout.id, "aborted", str(error))
        raise
    for key in (ALERT, PAUSED):
        ledger.resolve_alert(model, key)
    count = {"instances": spec.instances, "hosts": spec.hosts}
    retire(ledger, model, version, previous, platform=night.platform, fence=night.fence, **count)
    if night.platform:
        gateway_follows(settings, model, version)
    return {
        "live": True,
        "why": "proved" if not steps else "proved, and its canary passed",
        "previous": previous,
        "canary": steps,
    }


def _why(night: Night, proof: dict[str, Any] | None, steps: list[dict[str, Any]]) -> str:
    proved = "" if proof is None else f": {proof['rows']} golden rows within {proof['largest_difference']:g}"
    shares = ", ".join(f"{step['share']} %" for step in steps)
    return f"night {night.night}{proved}" + (f"; canary at {shares}" if steps else "")
