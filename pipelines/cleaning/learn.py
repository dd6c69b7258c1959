"""Learns the row recipe: the kind of each column, and how its cells are written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.cleaning import scan
from pipelines.cleaning.declared_columns import check_kinds, check_names, column_of, source_columns
from pipelines.cleaning.parts import Parts, TableParts
from pipelines.cleaning.reading import CLIENT_WORDS, Reading, read_as_number, read_text_column, truth_pair
from pipelines.cleaning.spec import CleanSpec
from pipelines.inference.recipe import dates
from pipelines.inference.recipe.arrays import one_array
from pipelines.inference.recipe.columns import Kind
from pipelines.inference.recipe.number_parsing import SpanText, TruthText
from pipelines.inference.recipe.row_recipe import MISSING, MISSING_VALUES, Column, RowRecipe
from pipelines.spec import ModelSpec

__all__ = ["Learned", "learn", "look_at"]

Learned = tuple[RowRecipe, list[str]]


def learn(
    rows: Parts | pa.Table,
    model: ModelSpec,
    spec: CleanSpec,
    hidden: Collection[str] = (),
    optional: Collection[str] = (),
) -> Learned:
    """Learn how every source column is read.

    Parameters
    ----------
    rows
        Raw rows with the stamps. Sealed ones are left out, unless all are.
    hidden
        Columns not known at serving.
    optional
        Columns that some files of the source lack.

    Returns
    -------
    recipe : RowRecipe
        Target, key, hidden and dropped columns are in it as ``dropped``; the time column is a date.
    notes : list of str
        What was decided against the look of the data, one line each.
    """
    parts = TableParts(rows) if isinstance(rows, pa.Table) else rows
    check_names(parts.schema, model, spec)
    unsealed = "_sealed" in parts.schema.names and not parts.flags("_sealed").all()
    dropped = {*hidden, *model.drop, model.target, *(name for name in model.key if name != model.time)}
    notes: list[str] = []
    columns = []
    for name, reading in look_at(parts, model, spec, unsealed, dropped).items():
        notes += [f"column {name!r} {note}" for note in reading.notes]
        columns.append(replace(reading.column, optional=name in optional))
    recipe = RowRecipe(tuple(columns), tuple(dict.fromkeys((*MISSING, *spec.missing))), MISSING_VALUES)
    check_kinds(recipe, model, spec)
    return recipe, notes


def look_at(
    parts: Parts,
    model: ModelSpec,
    spec: CleanSpec,
    unsealed: bool,
    dropped: Collection[str],
    seen: dict[str, scan.Cells] | None = None,
) -> dict[str, Reading]:
    """Return how each source column is read, in source order.

    Parameters
    ----------
    seen
        Takes what the cells of the text columns look like.

    Raises
    ------
    DataError
        The dates of a column that is declared to hold some cannot be read.
    """
    bare = RowRecipe((), tuple(dict.fromkeys((*MISSING, *spec.missing))), MISSING_VALUES)
    kinds: dict[str, Kind | None] = {
        name: "dropped" if name in dropped else _declared(name, spec) for name in source_columns(parts.schema)
    }
    looks = {}
    for name, kind in kinds.items():
        moments = _moments(name, model, spec)
        text = scan.is_text(parts.schema.field(name).type)
        undecided = kind is None and (text or (moments and _is_number(parts.schema.field(name).type)))
        unwritten = kind == "number" and name not in spec.numbers
        labels = name == model.target and model.task == "binary" and name not in (*spec.aliases, *spec.repair)
        if undecided or (text and (kind == "category" or unwritten or labels)):
            tokens = bare.tokens("category", column_of(name, "date", spec).missing, spec.present.get(name, ()))
            looks[name] = scan.Look(tokens, moments)
    cells = scan.count_cells(parts, looks, unsealed)
    if seen is not None:
        seen.update(cells)
    zero_one = _zero_one(parts, [name for name, kind in kinds.items() if kind is None and name not in looks])
    readings: dict[str, Reading] = {}
    for name, kind in kinds.items():
        if kind == "category" and name in cells:
            readings[name] = Reading(_as_category(column_of(name, kind, spec), cells[name]))
        elif kind == "number" and name in cells:
            readings[name] = read_as_number(name, cells[name], spec)
        elif kind == "dropped" and name in cells:
            readings[name] = Reading(_with_truth(column_of(name, kind, spec), cells[name]))
        elif kind is not None:
            readings[name] = Reading(column_of(name, kind, spec, spec.formats(name) if kind == "date" else ()))
        elif name in cells:
            moments = looks[name].moments
            found = read_text_column(name, cells[name], spec, moments=moments, time=name == model.time)
            if found.rivals and moments and "_time" in parts.schema.names and name == model.time:
                formats = (*found.column.formats[:1], *found.rivals)
                best = max(formats, key=lambda text: _agreement(parts, name, text, bare))
                found = Reading(replace(found.column, formats=(best, *found.column.formats[1:])), found.notes)
            readings[name] = found
        else:
            readings[name] = _typed(name, parts.schema.field(name).type, spec, model, name in zero_one)
    return readings


def _with_truth(column: Column, cells: scan.Cells) -> Column:
    """Return the target's column with its words for true and false, if its truth values have several spellings."""
    pair = truth_pair(cells)
    true, false, _ = scan.truths(cells)
    several = len(true) + len(false) + bool(cells.binary) > 2
    return replace(column, truth=pair) if pair is not None and several else column


def _declared(name: str, spec: CleanSpec) -> Kind | None:
    """Return the kind that the spec fixes; None if it must be learned."""
    declared = spec.kinds.get(name)
    formats = spec.formats(name)
    dates.reader(formats)
    if declared in ("number", "category", "dropped"):
        return declared
    if formats:
        return "date"
    return "number" if name in spec.numbers or name in spec.units or name in spec.outliers else None


def _moments(name: str, model: ModelSpec, spec: CleanSpec) -> bool:
    return name == model.time or spec.kinds.get(name) == "date"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _as_category(column: Column, cells: scan.Cells) -> Column:
    return replace(column, nested=bool(cells.nested) and cells.nested >= 0.95 * cells.given)


def _typed(name: str, kind: pa.DataType, spec: CleanSpec, model: ModelSpec, zero_one: bool) -> Reading:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if _moments(name, model, spec):
        return Reading(column_of(name, "date", spec))
    if pa.types.is_boolean(kind):
        column = column_of(name, "category", spec)
        return Reading(replace(column, truth=("true", "false"), missing=(*column.missing, *CLIENT_WORDS)))
    if pa.types.is_null(kind):
        return Reading(column_of(name, "category", spec))
    if _is_number(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        column = column_of(name, "number", spec)
        spans = pa.types.is_duration(kind) or pa.types.is_time(kind)
        written = SpanText() if spans else TruthText() if zero_one else None
        return Reading(replace(column, written=column.written or written))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Reading(column_of(name, "date", spec))
    return Reading(column_of(name, "dropped", spec), (f"left out: values of type {kind} are no number, text or date",))


def _zero_one(parts: Parts, names: list[str]) -> set[str]:
    """Return the number columns that hold only 0 and 1."""
    kinds = {name: parts.schema.field(name).type for name in names}
    left = {name for name, kind in kinds.items() if pa.types.is_integer(kind) or pa.types.is_floating(kind)}
    some = set(left)
    for index in range(len(parts.sizes)):
        if not left:
            break
        table = parts.read(index, sorted(left))
        for name in sorted(left):
            values = one_array(table[name]).drop_null().to_numpy(zero_copy_only=False)
            values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
            if ((values != 0) & (values != 1)).any():
                left.discard(name)
            elif not len(values):
                some.discard(name)
    return left & some


def _agreement(parts: Parts, name: str, text: str, bare: RowRecipe) -> int:
    """Count the cells that a format reads to the same moment as ingestion did."""
    recipe = RowRecipe((Column(name, "date", (text,)),), bare.missing, bare.missing_values)

    def one(index: int) -> int:
        table = parts.read(index, [name, "_time"])
        clean, _ = recipe.apply(table.select([name]))
        moments: Any = table["_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.timestamp("us"))
        return int((clean[name] == pd.Series(moments.to_pandas().to_numpy())).sum())

    return sum(parts.each(one))
