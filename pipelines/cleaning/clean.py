"""Deciding for every raw row: clean, quarantined, duplicate, filtered or unlabelled. Nothing is dropped elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning.learn import learn, source_columns
from pipelines.cleaning.spec import CleanSpec
from pipelines.cleaning.target import check_labels, read_target
from pipelines.errors import DataError
from pipelines.inference.recipe import Column, RowRecipe
from pipelines.spec import ModelSpec

MAX_EXAMPLES = 200
_WORDS = {"number": "a number", "date": "a date", "category": "a category"}
Apply = Callable[[RowRecipe, pa.Table], tuple[pd.DataFrame, pd.DataFrame]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cleaned:
    """The outcome: tables, the recipe that made them, and the counts."""

    table: pa.Table
    quarantine: pa.Table
    examples: pa.Table
    recipe: RowRecipe
    report: dict[str, Any]


def clean(raw: pa.Table, model: ModelSpec, spec: CleanSpec, apply: Apply = RowRecipe.apply) -> Cleaned:
    """Learn the recipe on unsealed rows and clean all rows.

    Parameters
    ----------
    raw
        Source columns as read, with ``_key``, ``_time``, ``_sealed`` and ``_weight``.
    apply
        How a recipe is applied to the table; the stage gives one that works in parallel.

    Raises
    ------
    DataError
        No rows, columns missing, labels that do not fit the task, or too many rows in quarantine.
    """
    if not raw.num_rows:
        raise DataError(
            "there are no rows to clean", seen="0 rows", expected="at least one", cure="check the source and its period"
        )
    unsealed = raw.filter(pc.invert(raw["_sealed"]))
    recipe, notes = learn(unsealed if unsealed.num_rows else raw, model, spec)
    typed, bad = apply(recipe, raw)
    y, bad_target = read_target(raw[model.target], model, recipe)

    reasons, by_reason = _reasons(raw, model, recipe, typed, bad, bad_target)
    quarantined = reasons.notna().to_numpy()
    left = ~quarantined
    duplicates = left & _superseded(raw, y, left) if model.key else np.zeros(raw.num_rows, dtype=bool)
    left &= ~duplicates
    unlabelled = left & y.isna().to_numpy()
    left &= ~unlabelled
    filtered = left & _lacking(raw, typed, spec, recipe)
    left &= ~filtered

    report = {
        "in": raw.num_rows,
        "clean": int(left.sum()),
        "quarantined": int(quarantined.sum()),
        "duplicates": int(duplicates.sum()),
        "filtered": int(filtered.sum()),
        "unlabelled": int(unlabelled.sum()),
        "by_reason": by_reason,
        "exact_duplicates": exact_duplicates(raw),
        "kinds": {column.name: column.kind for column in recipe.columns},
        "notes": notes,
    }
    parts = ("clean", "quarantined", "duplicates", "filtered", "unlabelled")
    if report["in"] != sum(report[part] for part in parts):
        raise AssertionError(f"rows got lost in cleaning: {report}")
    _check_counts(report, reasons, spec)
    report["labels"] = check_labels(y[left], model)

    kept = pa.array(left)
    table = _clean_table(raw, typed, y, model).filter(kept)
    quarantine = raw.filter(pa.array(quarantined)).append_column(
        "_reason", pa.array(reasons[quarantined], pa.string(), from_pandas=True)
    )
    examples = _examples(raw, typed, left & ~raw["_sealed"].to_numpy(zero_copy_only=False))
    return Cleaned(table, quarantine, examples, recipe, report)


def exact_duplicates(raw: pa.Table) -> int:
    """Count the rows that equal an earlier row in every source column."""
    names = [name for name in source_columns(raw) if not _is_odd(raw.schema.field(name).type)]
    return raw.num_rows - raw.select(names).group_by(names).aggregate([]).num_rows if names else 0


def _is_odd(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_null(kind))


def _reasons(
    raw: pa.Table, model: ModelSpec, recipe: RowRecipe, typed: pd.DataFrame, bad: pd.DataFrame, bad_target: Mask
) -> tuple[pd.Series[Any], dict[str, int]]:
    """Give each row's reason to be held back (null: none), and the count of each kind of reason."""
    reasons = pd.Series(pd.NA, index=pd.RangeIndex(raw.num_rows), dtype="string[pyarrow]")
    counts: dict[str, int] = {}

    def hold(mask: Mask, name: str, what: str, *, show: bool = True) -> None:
        if not mask.any():
            return
        counts[f"column {name!r} {what}"] = int(mask.sum())
        text = pd.Series(f"column {name!r} {what}", index=reasons.index[mask], dtype="string[pyarrow]")
        if show:
            seen = raw[name].filter(pa.array(mask)).to_pylist()
            text = text + pd.Series([f": {value!r:.80}" for value in seen], index=text.index, dtype="string[pyarrow]")
        reasons[mask] = reasons[mask].str.cat(text, sep="; ").fillna(text)

    for column in recipe.kept:
        hold(bad[column.name].to_numpy(), column.name, f"cannot be read as {_WORDS[column.kind]}")
    hold(bad_target, model.target, "cannot be read as a number (target)")
    if model.key:
        columns = tuple(Column(name, "category") for name in model.key)
        keys, _ = RowRecipe(columns, recipe.missing, recipe.missing_values).apply(raw)
        for name in model.key:
            hold(keys[name].isna().to_numpy(), name, "is missing, but is part of the key", show=False)
    if model.time:
        if model.time in typed:
            lost = typed[model.time].isna().to_numpy() & ~bad[model.time].to_numpy()
        else:
            lost = raw["_time"].is_null().to_numpy()  # never shown to the learner, but it still seals by date
        hold(lost, model.time, "is missing, but tells when the row happened", show=False)
    return reasons, dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _superseded(raw: pa.Table, y: pd.Series[Any], among: Mask) -> Mask:
    """Mark the rows whose key occurs again: a labelled row beats one without label, then the latest, then the last."""
    order = pd.DataFrame(
        {
            "key": raw["_key"].to_pandas(),
            "labelled": y.notna().to_numpy(),
            "time": raw["_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
        }
    )[among]
    order = order.fillna({"time": -np.inf}).sort_values(["labelled", "time"], kind="stable")
    losers = order.index[order["key"].duplicated(keep="last")]
    superseded = np.zeros(raw.num_rows, dtype=bool)
    superseded[losers] = True
    return superseded


def _lacking(raw: pa.Table, typed: pd.DataFrame, spec: CleanSpec, recipe: RowRecipe) -> Mask:
    lacking = np.zeros(raw.num_rows, dtype=bool)
    for name in spec.require:
        lacking |= (typed[name].isna() if name in typed else raw[name].is_null().to_pandas()).to_numpy()
    return lacking


def _check_counts(report: dict[str, Any], reasons: pd.Series[Any], spec: CleanSpec) -> None:
    faults = [f"{count} × {reason}" for reason, count in report["by_reason"].items()]
    faults += [f"for example: {text}" for text in reasons.dropna().unique()[:5]]
    share = report["quarantined"] / report["in"]
    if share > spec.max_quarantined:
        raise DataError(
            "too many rows cannot be read",
            seen=f"{report['quarantined']} of {report['in']} rows ({share:.1%})",
            expected=f"at most {spec.max_quarantined:.1%} (clean.max_quarantined)",
            cure="correct the source, declare the column's kind or date format in clean.kinds and clean.dates, "
            "or its missing tokens in clean.missing",
            faults=faults,
        )
    if not report["clean"]:
        raise DataError(
            "no row is left after cleaning",
            seen=", ".join(f"{report[part]} {part}" for part in ("in", "quarantined", "unlabelled", "filtered")),
            expected="at least one labelled row",
            cure="check the target column and clean.require",
            faults=faults,
        )


def _clean_table(raw: pa.Table, typed: pd.DataFrame, y: pd.Series[Any], model: ModelSpec) -> pa.Table:
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "_key": raw["_key"].cast(pa.string()),
        "_time": raw["_time"].cast(pa.timestamp("us", "UTC")),
        "_sealed": raw["_sealed"],
        "_weight": raw["_weight"].cast(pa.float64()),
        "_y": pa.array(y, pa.float64() if model.task == "regression" else pa.string(), from_pandas=True),
    }
    kinds = {"f": pa.float64(), "M": pa.timestamp("us")}
    for name in typed.columns:
        kind = kinds.get(typed[name].dtype.kind, pa.string())
        columns[name] = pa.array(typed[name], kind, from_pandas=True)
    return pa.table(columns)


def _examples(raw: pa.Table, typed: pd.DataFrame, usable: Mask) -> pa.Table:
    """Choose raw rows evenly spread, half of them with missing cells where there are such."""
    gaps = typed.isna().any(axis=1).to_numpy()
    some = _spread(np.flatnonzero(usable & gaps), MAX_EXAMPLES // 2)
    rest = np.setdiff1d(np.flatnonzero(usable), some)
    chosen = np.sort(np.concatenate([some, _spread(rest, MAX_EXAMPLES - len(some))]))
    return raw.select(source_columns(raw)).take(pa.array(chosen, pa.int64()))


def _spread(places: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    if len(places) <= count:
        return places
    return places[np.linspace(0, len(places) - 1, count).astype(np.int64)]
