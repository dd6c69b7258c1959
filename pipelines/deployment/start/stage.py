"""Step start: installed bento in, running service out."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.deployment.release import candidate, withdrawn_on_failure
from pipelines.deployment.service import released_service
from pipelines.deployment.spec import DeploySpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(
    spec: DeploySpec, *, night: Night, settings: Settings, out: Path, install: Artifact, register: Artifact
) -> Outcome:
    """Bring the service of the version up beside the live one; no caller reaches it yet. Leaves ``start.json``.

    Without a running platform the later steps start a private service each; nothing is started here.

    Raises
    ------
    DeployError
        It ended, or is not ready in time.
    """
    with Ledger.open(settings) as ledger:
        released = candidate(ledger, night, register)
        facts: dict[str, Any] = {
            "version": released.version,
            "started": False,
            "seconds": None,
            "why": released.settled,
        }
        if not released.settled and night.platform:
            ledger.reserve(night.model.name, night.night, night.fence)  # an older attempt is refused from here on
            began = time.monotonic()
            with (
                withdrawn_on_failure(ledger, night, released.version),
                released_service(settings, ledger, night, released.version, spec),
            ):
                facts |= {"started": True, "seconds": round(time.monotonic() - began, 3)}
        elif not released.settled:
            facts["why"] = "no platform runs: health and verify start the service for themselves"
    write_json(out / "start.json", facts)
    log.info(
        f"version {released.version} "
        + (f"is ready after {facts['seconds']} s" if facts["started"] else str(facts["why"]))
    )
    return Outcome(meta={"version": released.version, "started": facts["started"]}, stats=facts)
