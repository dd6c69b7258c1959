"""What a stage needs to know of its night besides its inputs: one small provider for each name in ``Stage.context``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines import tracing
from pipelines.artifacts import Night, Ref, canonical_json
from pipelines.ledger import Ledger
from pipelines.ledger.older_nights import ALERT, older_than_live
from pipelines.ledger.reference_models import reference_models
from pipelines.settings import Settings
from pipelines.stages import STOP, Stage
from pipelines.storage import is_published


@dataclass(frozen=True)
class Asked:
    """Who asks.

    Parameters
    ----------
    inputs
        Refs of the stages before.
    params
        What the run was asked for in its trigger form.
    """

    stage: Stage
    night: Night
    inputs: Mapping[str, Ref]
    params: Mapping[str, Any]
    settings: Settings
    ledger: Ledger


@dataclass(frozen=True)
class Known:
    """What a stage is told.

    Parameters
    ----------
    inputs
        Further inputs.
    facts
        Arguments of its ``run``.
    skip
        Why it is not to run at all; empty: it is.
    """

    inputs: Mapping[str, Ref] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    skip: str = ""


def context_of(asked: Asked) -> Known:
    """Return all that a stage needs to know."""
    inputs: dict[str, Ref] = {}
    facts: dict[str, Any] = {}
    skip = ""
    for name in asked.stage.context:
        found = PROVIDERS[name](asked)
        inputs |= found.inputs
        facts |= found.facts
        skip = skip or found.skip
    return Known(inputs, facts, skip)


def fact_names(stage: Stage) -> tuple[str, ...]:
    """Return the names of the facts that ``run`` of a stage takes."""
    return tuple(FACTS[name] for name in stage.context if name in FACTS)


def best_trials(ledger: Ledger, night: Night) -> list[dict[str, Any]]:
    """Return the configurations of the model's latest search before this night, as of its date; none at first.

    Those that its ensemble was made of come first, the quickest at the head: what pays in a combination is not always
    what scores best alone.
    """
    earlier = [row for row in ledger.nights(night.model.name) if row.as_of < night.as_of and row.night != night.night]
    for row in sorted(earlier, key=lambda row: row.as_of, reverse=True):
        done = {
            stage.stage: stage.stats or {}
            for stage in ledger.stages(night.model.name, row.night)
            if stage.state == "done"
        }
        warm = done.get("tune", {}).get("warm")
        if warm:
            members = done.get("ensemble", {}).get("trials", ())
            made, others = ([e for e in warm if (e.get("number") in members) is own] for own in (True, False))
            return [*sorted(made, key=lambda entry: entry.get("seconds", 0.0)), *others]
    return []


def lineage(asked: Asked) -> dict[str, Any]:
    """Return uri, digest and rows of what the other stages of the night have published so far."""
    return {
        row.stage: {name: row.ref.get(name) for name in ("uri", "digest", "rows")}
        for row in asked.ledger.stages(asked.night.model.name, asked.night.night)
        if row.ref is not None and row.stage != asked.stage.name
    }


def why_not_released(asked: Asked) -> str:
    """Return why the night's version is not to be put into service; empty if it is."""
    meta = asked.inputs["register"].meta
    if meta.get("verdict") != "promoted":
        live = asked.ledger.route(asked.night.model.name)
        kept = f"version {live} stays live" if live else "no version is live"
        return f"version {meta.get('version')} is kept, not promoted: {kept}"
    if asked.params.get(STOP):
        return f"version {meta.get('version')} is registered; this run was asked to stop before deploy"
    return ""


def _reference_models(asked: Asked) -> Known:
    night, there = asked.night, partial(is_published, asked.settings)
    return Known(inputs=reference_models(asked.ledger, night.model.name, night.night, there))


PROVIDERS: Mapping[str, Callable[[Asked], Known]] = {
    "best_trials": lambda asked: Known(facts={"warm": best_trials(asked.ledger, asked.night)}),
    "reference_models": _reference_models,
    "lineage": lambda asked: Known(facts={"lineage": lineage(asked)}),
    "release": lambda asked: Known(skip=why_not_released(asked)),
}
FACTS = {"best_trials": "warm", "lineage": "lineage"}
"""Provider → the argument of ``run`` that it gives."""


def close_night(ledger: Ledger, model: str, night: str, note: str = "") -> None:
    """Record the good end of a night with the verdict of its evaluation, and resolve the alert of a failed one.

    A night that is older than what is live says so, until one is not.
    """
    metas = {row.stage: row.ref.get("meta", {}) for row in ledger.stages(model, night) if row.ref is not None}
    verdict = {
        **metas.get("evaluate", {}),
        "version": metas.get("register", {}).get("version"),
        "deployed": bool(metas.get("deploy", {}).get("live")),
        **({"note": note} if note else {}),
    }
    ledger.close_night(model, night, "success", json.loads(canonical_json(verdict)))
    ledger.resolve_alert(model, "night")
    if older := older_than_live(ledger, model, ledger.night(model, night)):
        ledger.alert(model, ALERT, older, ALERT)
    else:
        ledger.resolve_alert(model, ALERT)
    tell_night(ledger, model, night)


def tell_night(ledger: Ledger, model: str, night: str, error: str = "") -> None:
    """Send the trace of a night that is over, where traces are on."""
    if tracing.on() and (row := ledger.night(model, night)) is not None and row.finished_at is not None:
        tracing.night_ended(model, night, row.started_at, row.finished_at, error)
