"""Learning the row recipe from unsealed rows: of which kind each column is, and how its dates are written."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import DataError, SpecError
from pipelines.inference import dates
from pipelines.inference.cells import WHITESPACE
from pipelines.inference.columns import Kind, one_array, read_numbers
from pipelines.inference.recipe import MISSING, MISSING_VALUES, Column, RowRecipe
from pipelines.spec import ModelSpec

STAMPS = ("_key", "_time", "_sealed", "_weight")
"""Columns that ingestion and sampling add to the source's own."""
RESERVED = ("_y", "_fold", "_reason")
PROBE = 1_000
"""So many distinct texts decide whether a look at more of them for dates is worth it."""
ENOUGH = 20_000
"""So many decide how dates are written, unless day and month could still be swapped: then all do."""


def source_columns(table: pa.Table) -> list[str]:
    """Give the names of the source's own columns, in source order."""
    return [name for name in table.column_names if name not in STAMPS]


def learn(table: pa.Table, model: ModelSpec, spec: CleanSpec) -> tuple[RowRecipe, list[str]]:
    """Learn how every source column is read.

    Parameters
    ----------
    table
        Unsealed raw rows with the stamps.

    Returns
    -------
    recipe : RowRecipe
        Target, key and dropped columns are in it as ``dropped``; the time column is a date.
    notes : list of str
        What was decided against the look of the data, one line each.
    """
    check_names(table, model, spec)
    bare = RowRecipe((), tuple(dict.fromkeys((*MISSING, *spec.missing))), MISSING_VALUES)
    notes: list[str] = []
    hidden = {model.target, *model.drop, *(name for name in model.key if name != model.time)}
    columns = []
    for name in source_columns(table):
        if name in hidden:
            columns.append(Column(name, "dropped"))
            continue
        array = one_array(table[name])
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        moments = table["_time"] if name == model.time and "_time" in table.column_names else None
        columns.append(_column(name, array, moments, bare, model, spec, notes))
    return RowRecipe(tuple(columns), bare.missing, bare.missing_values), notes


def check_names(table: pa.Table, model: ModelSpec, spec: CleanSpec) -> None:
    """Raise for columns that the model or the spec names and the data lacks, and for names that we use ourselves."""
    present = source_columns(table)
    taken = [name for name in present if name in RESERVED]
    if taken:
        raise DataError(
            "the source has columns whose names are reserved",
            seen=", ".join(taken),
            expected=f"names other than {', '.join((*STAMPS, *RESERVED))}",
            cure="rename them in the source",
        )
    wanted = {"target": (model.target,), "key": model.key, "time": (model.time,) if model.time else ()}
    lost = [f"{role} column {name!r}" for role, names in wanted.items() for name in names if name not in present]
    if lost:
        raise DataError(
            "the data lacks columns that the model needs",
            where=", ".join(lost),
            seen=", ".join(present)[:500],
            expected="these columns, spelled alike",
            cure="correct the name in the DAG file, or the source",
            faults=[f"{what} is missing" for what in lost],
        )
    named = {
        "drop": model.drop,
        "clean.kinds": tuple(spec.kinds),
        "clean.dates": tuple(spec.dates),
        "clean.require": spec.require,
    }
    unknown = [f"{field}: {name!r}" for field, names in named.items() for name in names if name not in present]
    if unknown:
        raise SpecError(
            "the spec names columns that the data does not have",
            seen=", ".join(present)[:500],
            expected="names of source columns",
            cure="correct the names at the top of the DAG file",
            faults=unknown,
        )


def _column(
    name: str,
    array: pa.Array,
    moments: pa.ChunkedArray | None,
    bare: RowRecipe,
    model: ModelSpec,
    spec: CleanSpec,
    notes: list[str],
) -> Column:
    declared = spec.kinds.get(name)
    formats = spec.formats(name)
    dates.reader(formats)
    if declared in ("number", "category", "dropped"):
        return Column(name, declared)
    if formats:
        return Column(name, "date", formats)
    if not _is_text(array):
        kind = "date" if name == model.time else _typed_kind(array)
        if kind == "dropped":
            notes.append(f"column {name!r} left out: values of type {array.type} are no number, text or date")
        return Column(name, kind)
    is_date = declared == "date" or name == model.time
    if not is_date and _is_number(array, bare, spec.numeric_share):
        return Column(name, "number")
    found = _date_formats(array, bare, 0.0 if is_date else spec.numeric_share, moments)
    if len(found) == 1:
        return Column(name, "date", () if found == [dates.ISO] else tuple(found))
    if is_date:
        raise DataError(
            f"cannot tell how the dates of column {name!r} are written",
            where=name,
            seen=", ".join(map(repr, pc.unique(array.drop_null())[:5].to_pylist())),
            expected=f"one of {', '.join(found)}" if found else "a known date format",
            cure=f"write clean.dates={{{name!r}: FORMAT}} at the top of the DAG file",
        )
    if found:
        notes.append(f"column {name!r} taken as category: its dates read as {' and '.join(found)}; declare clean.dates")
    return Column(name, "category")


def _is_text(array: pa.Array) -> bool:
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def _typed_kind(array: pa.Array) -> Kind:
    kind = array.type
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return "category"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    return "date" if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else "dropped"


def _is_number(array: pa.Array, bare: RowRecipe, share: float) -> bool:
    values, bad = read_numbers(array, bare.tokens("number"))
    numbers, unreadable = int(np.isfinite(values).sum()), int(bad.sum())
    return numbers > 0 and numbers >= share * (numbers + unreadable)


def _date_formats(array: pa.Array, bare: RowRecipe, share: float, moments: pa.ChunkedArray | None) -> list[str]:
    """Give the formats that read at least ``share`` of the cells; several only if they read differently."""
    pairs = pc.value_counts(pc.utf8_trim(array.drop_null(), characters=WHITESPACE))
    counted = zip(pairs.field("values").to_pylist(), pairs.field("counts").to_pylist(), strict=True)
    tokens = {token.decode() for token in bare.tokens("date")}
    texts = {text: count for text, count in counted if text.lower() not in tokens}
    if not dates.guess(dict(islice(texts.items(), PROBE)), min(share, 0.5)):
        return []
    found = dates.guess(dict(islice(texts.items(), 0, None, 1 + len(texts) // ENOUGH)), share)
    if len(found) > 1:
        found = dates.guess(texts, share)
    if len(found) < 2:
        return found
    readings = {name: [dates.reader((name,))(text) for text in texts] for name in found}
    different = [name for place, name in enumerate(found) if readings[name] not in [readings[n] for n in found[:place]]]
    if len(different) > 1 and moments is not None:
        return [max(different, key=lambda name: _agreement(name, array, moments))]
    return different


def _agreement(name: str, array: pa.Array, moments: pa.ChunkedArray) -> int:
    """Count the cells that a format reads as ingestion did."""
    clean, _ = RowRecipe((Column("t", "date", (name,)),)).apply(pa.table({"t": array}))
    known = moments.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.timestamp("us")).to_pandas()
    return int((clean["t"] == pd.Series(known.to_numpy())).sum())
