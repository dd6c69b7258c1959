"""Declared limits that could not be tested, with the reason: the verdict names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.evaluation.spec import EvaluateSpec

MOST_KEPT = 50
"""Entries of a list in the verdict."""
MOST_NAMED = 3
"""Entries that the sentence names."""
LIMITS = (
    "floor",
    "ceiling",
    "margin",
    "anchor_margin",
    "slice_margin",
    "slice_floor",
    "slice_rows",
    "fairness_floor",
    "max_row_ms",
    "max_megabytes",
    "max_calibration_error",
    "least_rows",
)
SHOWN = ("column", "value", "rows", "score", "champion", "improvement", "binds", "why")


def untested(spec: EvaluateSpec, metric: str, details: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Name each slice, group and number that a declared limit binds and these rows could not test, with the reason.

    Parameters
    ----------
    details
        ``slices`` as of ``slice_scores`` and ``fairness`` as of ``fairness``.
    values
        What the limits of size, time and calibration bind; see ``limits.measured``.
    """
    found = [*_slices(spec, metric, details["slices"]), *_groups(spec, details["fairness"])]
    if spec.max_calibration_error is not None and values.get("calibration_error") is None:
        found.append("max_calibration_error (these predictions have no calibration error)")
    return tuple(found)


def numbers(spec: EvaluateSpec, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``verdict.json`` says besides the decision: declared limits, slices and fairness ratios, capped."""
    first = sorted(details["slices"], key=lambda entry: (not entry["why"], not entry["binds"]))
    return {
        "limits": {name: getattr(spec, name) for name in LIMITS if getattr(spec, name) is not None},
        "slices": [{name: entry[name] for name in SHOWN} for entry in first[:MOST_KEPT]],
        "fairness": [
            {"column": entry["column"], "groups": len(entry["groups"]), "ratios": entry["ratios"]}
            for entry in details["fairness"][:MOST_KEPT]
        ],
    }


def named(found: Sequence[str]) -> str:
    """Name the first ones, and say how many more there are."""
    return ", ".join(capped(found, MOST_NAMED))


def capped(found: Sequence[str], most: int = MOST_KEPT) -> list[str]:
    """Return the first ones, and say how many more there are."""
    return [*found[:most], *([f"and {len(found) - most} more"] if len(found) > most else [])]


def _slices(spec: EvaluateSpec, metric: str, slices: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    slices = list(slices)
    compared = any(entry["champion"] is not None for entry in slices)
    if not spec.slices or not (compared or spec.slice_floor is not None):
        return
    for entry in slices:
        name = f"slice {entry['column']}={entry['value']}"
        if not entry["binds"]:
            yield f"{name} ({entry['rows']} of {spec.slice_rows} rows needed)"
        elif entry["score"] is None:
            yield f"{name} ({metric} is not defined on its {entry['rows']} rows)"
        elif compared and entry["improvement"] is None:
            yield f"{name} (its {entry['rows']} rows do not bound the difference to the champion)"


def _groups(spec: EvaluateSpec, fairness: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    if spec.fairness_floor is None:
        return
    least = spec.slice_rows
    for entry in fairness:
        lacking = [name for name, ratio in entry["ratios"].items() if ratio is None]
        shown = lacking if len(lacking) < len(entry["ratios"]) else [""]
        for name in shown:
            enough = sum(group["counts"][name or lacking[0]] >= least for group in entry["groups"])
            rate = f" {name}" if name else ""
            yield f"fairness {entry['column']}{rate} ({enough} of 2 groups of {least} rows needed)"
        for group in entry["groups"]:
            few = {name: count for name, count in group["counts"].items() if name not in lacking and count < least}
            if few:
                rates = f" {' and '.join(few)}" if len(few) < len(entry["ratios"]) else ""
                yield f"fairness {entry['column']}={group['value']}{rates} ({min(few.values())} of {least} rows needed)"
