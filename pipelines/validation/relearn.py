"""Merges a relearned suite into the old one; rules that people wrote or edited stay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.validation.suite import form


@dataclass(frozen=True)
class RuleChange:
    """How one rule differs: its old and new limits, and why one that would change is kept."""

    state: Literal["added", "removed", "changed", "kept"]
    kind: str
    about: str
    old: str = ""
    new: str = ""
    why: str = ""


def merge(
    old: Mapping[str, Any], learned: Mapping[str, Any], *, replace_edited: bool = False
) -> tuple[dict[str, Any], list[RuleChange]]:
    """Return the suite as it would be after learning again, and every difference.

    Rules of the old suite keep their order. A rule stays as it is if a person wrote it, edited it (it differs from the
    form recorded in ``meta.learned``, or ``meta.edited`` is true), or has no recorded form. A severity that a person
    changed stays, while the limits follow what is learned. New rules whose id ``meta.declined`` of the suite lists
    are left out.

    Parameters
    ----------
    replace_edited
        Take the learned form of edited rules too; rules that were never learned stay.
    """
    fresh = {rule["id"]: rule for rule in learned["expectations"]}
    known = {rule.get("id") for rule in old["expectations"]}
    declined = set((old.get("meta") or {}).get("declined", ()))
    rules: list[dict[str, Any]] = []
    changes: list[RuleChange] = []
    for rule in old["expectations"]:
        new = fresh.get(rule.get("id"))
        why = "" if replace_edited and new else _why_kept(rule)
        if new is None and not why:
            changes.append(RuleChange("removed", rule["type"], about(rule), old=limits(rule)))
            continue
        if new is not None and _severity_edited(rule):
            new = {**new, "severity": rule.get("severity", "critical")}  # its record tells that it is a person's
        if new is None or (form(new) == form(rule) and new["severity"] == rule.get("severity", "critical")):
            rules.append(rule if new is None or why else new)
            continue
        state: Literal["kept", "changed"] = "kept" if why else "changed"
        changes.append(RuleChange(state, rule["type"], about(rule), limits(rule), limits(new), why))
        rules.append(rule if why else new)
    for rule_id, rule in fresh.items():
        if rule_id not in known and rule_id not in declined:
            rules.append(rule)
            changes.append(RuleChange("added", rule["type"], about(rule), new=limits(rule)))
    order = {rule["id"]: index for index, rule in enumerate(learned["expectations"])}
    if not any(_why_kept(rule) == "written by hand" for rule in rules):
        rules.sort(key=lambda rule: order.get(rule["id"], -1))  # as learned, so that a second diff is empty
    return {**old, "expectations": rules}, changes


def _why_kept(rule: Mapping[str, Any]) -> str:
    meta = rule.get("meta") or {}
    if meta.get("edited"):
        return "marked as edited"
    if "learned" in meta:
        return "" if meta["learned"].split()[0] == form(rule) else "edited by hand"
    return "written by hand"


def _severity_edited(rule: Mapping[str, Any]) -> bool:
    learned = (rule.get("meta") or {}).get("learned", "").split()
    return len(learned) == 2 and learned[1] != rule.get("severity", "critical")


def about(rule: Mapping[str, Any]) -> str:
    """Return the columns that a rule is about."""
    kwargs = rule["kwargs"]
    names = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return ", ".join([*names, *kwargs.get("column_list", ())]) or "the table"


def limits(rule: Mapping[str, Any]) -> str:
    """Return the limits and the severity of a rule in one line."""
    left_out = ("column", "column_A", "column_B", "column_list", "ignore_row_if")
    said = {key: value for key, value in rule["kwargs"].items() if key not in left_out}
    condition = said.pop("row_condition", None)
    words = [f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in sorted(said.items())]
    if isinstance(condition, dict) and condition.get("type") == "nullity":
        words.insert(0, f"where {condition['column']['name']} is {'' if condition['is_null'] else 'not '}null")
    elif condition:
        words.insert(0, f"where {condition}")
    hard = "hard" if rule.get("severity", "critical") == "critical" else "soft"
    return "; ".join([hard, *words])
