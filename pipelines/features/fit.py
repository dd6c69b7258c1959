"""From the summary of the training rows to the feature plan, and why each left-out column was left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.errors import DataError
from pipelines.features.spec import FeatureSpec
from pipelines.features.summary import ColumnSummary
from pipelines.inference.plan import DAY_US, Feature, FeaturePlan, Part, calendar
from pipelines.inference.recipe import RowRecipe


def fit_plan(
    recipe: RowRecipe, summary: Mapping[str, ColumnSummary], spec: FeatureSpec
) -> tuple[FeaturePlan, dict[str, str]]:
    """Decide the features.

    Returns
    -------
    plan : FeaturePlan
    left_out : dict
        Reason by column, or by column and date part.

    Raises
    ------
    DataError
        No column is left.
    """
    features: list[Feature] = []
    left_out: dict[str, str] = {}
    taken = set(recipe.names)
    for column in recipe.kept:
        name, facts = column.name, summary[column.name]
        if not facts.given:
            left_out[name] = "no value in any training row"
        elif column.kind == "number":
            if facts.low == facts.high and not facts.missing:
                left_out[name] = f"constant: {facts.low:g} in every training row"
            else:
                features.append(Feature(name, name, "number"))
        elif column.kind == "category":
            categories, reason = _categories(facts, spec)
            if reason:
                left_out[name] = reason
            else:
                features.append(Feature(name, name, "code", categories=categories))
        else:
            features += _date_features(name, facts, spec, taken, left_out)
    if not features:
        raise DataError(
            "no column is left to learn from",
            seen=f"{len(recipe.kept)} columns, all left out",
            expected="at least one column that differs between rows",
            cure="check the source, and 'drop' and clean.kinds in the DAG file",
            faults=[f"column {name!r}: {reason}" for name, reason in left_out.items()],
        )
    return FeaturePlan(recipe, tuple(features)), left_out


def _categories(facts: ColumnSummary, spec: FeatureSpec) -> tuple[tuple[str, ...], str]:
    """Give the categories with a code of their own, most frequent first, then by text; or why there is no feature."""
    if facts.counts is None:
        raise TypeError("the summary of a category column has no counts")
    if len(facts.counts) == 1 and not facts.missing:
        return (), f"constant: {facts.counts.index[0]!r} in every training row"
    if spec.drop_unique_text and len(facts.counts) > 1 and len(facts.counts) >= spec.unique_share * facts.given:
        return (), f"unique text: {len(facts.counts)} distinct of {facts.given} values"
    frequent = sorted((-int(count), str(text)) for text, count in facts.counts.items() if count >= spec.rare_count)
    chosen = tuple(text for _, text in frequent[: spec.max_categories])
    if not chosen and not facts.missing:
        return (), f"no category in at least {spec.rare_count} training rows (features.rare_count)"
    return chosen, ""


def _date_features(
    name: str, facts: ColumnSummary, spec: FeatureSpec, taken: set[str], left_out: dict[str, str]
) -> list[Feature]:
    low, high = int(facts.low or 0), int(facts.high or 0)
    if low == high and not facts.missing:
        left_out[name] = "constant: one moment in every training row"
        return []
    features = []
    for part in dict.fromkeys(spec.date_parts):
        label = f"{name}.{part}"
        if part == "hour" and not facts.has_hours:
            left_out[label] = "no training row has a time of day"
        elif part != "hour" and not facts.missing and _same(part, low, high):
            left_out[label] = "the same in every training row"
        else:
            while label in taken:
                label += "_"
            taken.add(label)
            features.append(Feature(label, name, "date", part=part, origin=low - low % DAY_US))
    return features


def _same(part: Part, low: int, high: int) -> bool:
    """Tell whether all moments between two share a calendar part."""
    if high - low > 8 * DAY_US and part not in ("year", "month"):
        return False
    ends = np.array([low, high]).astype("datetime64[us]")
    years = calendar(ends, "year", 0)
    if part == "year" or years[0] != years[1]:
        return bool(years[0] == years[1])
    if part == "month":
        months = calendar(ends, "month", 0)
        return bool(months[0] == months[1])
    return bool(low // DAY_US == high // DAY_US) and part != "elapsed_days"
