"""A template on a table of one's own: what it says of columns that the table lacks is left out, and told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pipelines.evaluation.spec import EvaluateSpec
from pipelines.features.spec import FeatureSpec
from pipelines.industry.template import IndustryTemplate
from pipelines.spec import Spec, overlay

TABLE_COLUMNS = frozenset({"_y", "_key", "_time"})
"""Columns that every cleaned table has."""


def for_columns(
    template: IndustryTemplate, columns: Collection[str]
) -> tuple[dict[str, Spec], list[tuple[str, dict[str, Any]]], list[str]]:
    """Return the template's settings and rules for a table with these columns, and what was left out.

    Parameters
    ----------
    columns
        Of the source.

    Returns
    -------
    tuple
        Settings by variable of the DAG file, rules as ``(type, kwargs)``, and one line per thing left out.
    """
    specs, left = dict(template.specs), []
    known = {*columns, template.model["target"]}
    if isinstance(features := specs.get("FEATURES"), FeatureSpec):
        kept = tuple(step for step in features.steps if known.issuperset(step.names))
        left += [
            f"feature {step.kind} of {', '.join(step.names)}"
            for step in features.steps
            if not known.issuperset(step.names)
        ]
        specs["FEATURES"] = features.model_copy(update={"steps": kept})
    if isinstance(gate := specs.get("EVALUATE"), EvaluateSpec):
        changes: dict[str, Any] = {}
        for field, bound in (("slices", ("slice_margin", "slice_floor")), ("fairness", ("fairness_floor",))):
            named = getattr(gate, field)
            there = tuple(name for name in named if name in known)
            left += [f"{field} by {name}" for name in named if name not in known]
            changes[field] = there
            changes |= {} if there else dict.fromkeys(bound)
        specs["EVALUATE"] = overlay(gate, changes)
    rules = []
    for kind, kwargs in template.rules:
        column = kwargs["column"]
        if column in known or column in TABLE_COLUMNS:
            rules.append((kind, kwargs))
        else:
            left.append(f"rule {kind} of {column}")
    return specs, rules, left
