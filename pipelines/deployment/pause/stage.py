"""Operation pause: a model answers no caller, or does so again. Its nights go on, and its services keep running."""

from __future__ import annotations

import logging

from pipelines.artifacts import Outcome
from pipelines.deployment.pause.spec import PauseSpec
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.archive import refuse_archived
from pipelines.settings import Settings
from pipelines.spec import did_you_mean

log = logging.getLogger(__name__)


def run(spec: PauseSpec, *, settings: Settings) -> Outcome:
    """Pause or resume a model; the gateway follows within a second.

    Raises
    ------
    SpecError
        No model or reason is given, there is no such model, or one that is archived is to be resumed.
    """
    if not spec.model or not spec.why.strip():
        raise SpecError(
            f"to {spec.action} needs a model and a reason",
            where=f"PauseSpec.{'why' if spec.model else 'model'}",
            seen="nothing",
            cure=f"aimass {spec.action} NAME --why TEXT",
        )
    with Ledger.open(settings) as ledger:
        if ledger.model(spec.model) is None:
            known = [row.name for row in ledger.models()]
            raise SpecError(
                "no such model",
                seen=f"{spec.model}{did_you_mean(spec.model, known)}",
                expected=", ".join(known) or "a model that has had a night",
                cure="aimass models",
            )
        if spec.action == "resume":
            refuse_archived(ledger.catalog_row(spec.model))
        changed = (ledger.pause if spec.action == "pause" else ledger.resume)(spec.model, spec.actor, spec.why)
        why = ledger.paused().get(spec.model, "")
    state = f"answers no caller: {why}" if why else "answers callers"
    log.info("%s %s", spec.model, state)
    return Outcome(stats={"model": spec.model, "changed": changed, "paused": bool(why), "why": why})
