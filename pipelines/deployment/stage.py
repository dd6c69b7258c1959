"""Stage deploy: bento in, live version out."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.deployment.follow import AliasFollower
from pipelines.deployment.release import release
from pipelines.deployment.spec import DeploySpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(
    spec: DeploySpec, *, night: Night, settings: Settings, out: Path, package: Artifact, register: Artifact
) -> Outcome:
    """Prove the bento over HTTP and switch to it; leaves ``deployment.json``. MLflow's aliases follow the ledger."""
    version = int(register.ref.meta["version"])
    with Ledger.open(settings) as ledger, AliasFollower(settings, ledger, night.model.name) as aliases:
        result = release(spec, night, settings, ledger, version)
        if result["live"]:
            aliases.go()
    write_json(out / "deployment.json", {"version": version, **result})
    state = "live" if result["live"] else "not live"
    log.info(f"{night.model.name} version {version} is {state}: {result['why']}")
    return Outcome(meta={"version": version, "live": result["live"]}, stats=result)
