"""Which stages of a coming night are re-used: asked by the same key as the night itself asks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines import stages, storage
from pipelines.artifacts import Night, Ref, Request
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.ledger.rows import StageRow
from pipelines.local.dag_file import Chain, Declared
from pipelines.runner import reuse_key, reuse_parts
from pipelines.settings import Settings
from pipelines.stage_context import Asked, context_of

CHANGED = {
    "model": "the model's spec has changed",
    "outside": "what it reads besides its inputs has changed (files, suite, date)",
    "code": "its code has changed",
    "environment": "the lock of the environment has changed",
    "python": "Python has changed",
}
MOST = 3
"""Fields of a spec that are named."""


@dataclass(frozen=True)
class Fate:
    """What becomes of a stage: re-used or done, why, and the result that is re-used."""

    reused: bool
    why: str
    ref: Ref | None = None


def foresee(settings: Settings, ledger: Ledger, night: Night, chain: Chain) -> dict[str, Fate]:
    """Return the fate of every stage of a chain.

    A stage whose input is made anew is expected to run. Should that input come out the same after all, to the byte,
    it is re-used in the night.
    """
    last = _newest(ledger, night.model.name, [name for name in chain.stages if stages.get(name).reusable])
    found: dict[str, Fate] = {}
    for name, declared in chain.stages.items():
        found[name] = _fate(settings, ledger, night, name, declared, found, last.get(name))
    return found


def _fate(
    settings: Settings,
    ledger: Ledger,
    night: Night,
    name: str,
    declared: Declared,
    before: Mapping[str, Fate],
    last: StageRow | None,
) -> Fate:
    stage = stages.get(name)
    if not stage.reusable:
        return Fate(False, "publishes, which every night does itself")
    refs = {each: before[source].ref for each, source in declared.inputs.items() if source in before}
    anew = sorted({source for each, source in declared.inputs.items() if refs.get(each) is None})
    if anew:
        return Fate(False, f"{' and '.join(anew)} {'is' if len(anew) == 1 else 'are'} made anew")
    known = {each: ref for each, ref in refs.items() if ref is not None}
    try:
        told = context_of(Asked(stage, night, known, {}, settings, ledger))
        spec = declared.spec.model_dump(mode="json")
        request = Request(stage=name, night=night, spec=spec, inputs={**known, **told.inputs})
        parts = reuse_parts(stage, request, declared.spec, settings)
    except AimassError as error:
        return Fate(False, f"it cannot be told: {error.what}{f' ({error.where})' if error.where else ''}")
    row = ledger.find_finished(night.model.name, name, reuse_key(parts))
    if row is not None and row.ref is not None:
        ref = Ref.model_validate(row.ref)
        if storage.resolve(settings, ref.uri).exists():
            return Fate(True, f"nothing has changed since {row.night}", ref)
        return Fate(False, f"nothing has changed since {row.night}, but its result was tidied away")
    if last is None:
        return Fate(False, "it was never done")
    return Fate(False, "; ".join(_changes(last, parts)) or f"nothing is known of the result of {last.night}")


def _newest(ledger: Ledger, model: str, wanted: Sequence[str]) -> dict[str, StageRow]:
    """Return the newest finished attempt of each stage."""
    found: dict[str, StageRow] = {}
    for night in reversed(ledger.nights(model)):
        if found.keys() >= set(wanted):
            break
        for row in ledger.stages(model, night.night):
            if row.state == "done" and row.made_of:
                found.setdefault(row.stage, row)
    return found


def _changes(last: StageRow, parts: Mapping[str, Any]) -> list[str]:
    """Name what is different from the last time."""
    before = last.made_of or {}
    plain: Mapping[str, Any] = json.loads(json.dumps(parts, default=str))
    inputs = {name: ref.get("digest") for name, ref in (before.get("inputs") or {}).items()}
    changed = sorted(
        name for name in inputs.keys() | plain["inputs"].keys() if inputs.get(name) != plain["inputs"].get(name)
    )
    return [
        *_fields(last.spec or {}, plain["spec"]),
        *([f"other inputs than last time: {', '.join(changed)}"] if changed else []),
        *[text for name, text in CHANGED.items() if before.get(name) != plain.get(name)],
    ]


def _fields(before: Mapping[str, Any], now: Mapping[str, Any]) -> Sequence[str]:
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    told = [f"{name} was {_short(before.get(name))} and is {_short(now.get(name))}" for name in names[:MOST]]
    return [*told, *([f"{len(names) - MOST} more settings have changed"] if len(names) > MOST else [])]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}…"
