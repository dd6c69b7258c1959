"""Step verify: healthy service in, proof that it predicts what the model does out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.deployment.proof import prove
from pipelines.deployment.release import asking, candidate
from pipelines.deployment.spec import DeploySpec
from pipelines.deployment.verify.traffic import replay_traffic
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.storage import bring_newest_logs

log = logging.getLogger(__name__)


def run(
    spec: DeploySpec, *, night: Night, settings: Settings, out: Path, health: Artifact, register: Artifact
) -> Outcome:
    """Repeat the golden predictions over HTTP, then the newest logged requests. Leaves ``verify.json``.

    Raises
    ------
    DeployError
        A golden prediction differs, a logged request is refused, or too many labels change.
    """
    name = night.model.name
    with Ledger.open(settings) as ledger:
        released = candidate(ledger, night, register)
        found: dict[str, Any] = {"proof": None, "replay": None, "why": released.settled}
        if not released.settled:
            with asking(spec, night, settings, ledger, released) as (client, opened):
                found["proof"] = prove(client, opened, rows=spec.golden_rows, tolerance=spec.tolerance)
                found["replay"] = replay_traffic(spec, client, bring_newest_logs(settings, name), name, opened.schema)
            log.info(f"version {released.version}: {found['proof']['rows']} golden predictions repeated")
    write_json(out / "verify.json", found)
    return Outcome(meta={"version": released.version, "proof": found["proof"]}, stats=found)
