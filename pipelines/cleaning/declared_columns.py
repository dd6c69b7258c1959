"""Checks what the spec declares about columns, and makes the recipe's columns from it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import DataError, SpecError
from pipelines.inference.expressions.columns import Expression
from pipelines.inference.recipe import cells
from pipelines.inference.recipe.category_repair import chained
from pipelines.inference.recipe.columns import Kind
from pipelines.inference.recipe.number_parsing import PERCENT, Change, NumberText, SpanText, Written
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.reserved_columns import RESERVED, SAMPLED
from pipelines.spec import ModelSpec


def source_columns(table: pa.Table | pa.Schema) -> list[str]:
    """Return the names of the source's own columns, in source order."""
    names = table.names if isinstance(table, pa.Schema) else table.column_names
    return [name for name in names if name not in SAMPLED]


def column_of(name: str, kind: Kind, spec: CleanSpec, formats: tuple[str, ...] = ()) -> Column:
    """Return the recipe's column as declared; nothing is learned here."""
    sentinels = (str(cells.cell_text(value)) for value in spec.sentinels.get(name, ()))
    missing = tuple(dict.fromkeys((*spec.missing_in.get(name, ()), *sentinels)))
    present = spec.present.get(name, ())
    if kind == "number":
        unit, text = spec.units.get(name), spec.numbers.get(name)
        change = Change(
            unit=None if unit is None or (unit.factor, unit.offset) == (1, 0) else (unit.factor, unit.offset)
        )
        written: Written | None = None
        if text is not None and text.span:
            written = SpanText()
        elif text is not None:
            suffixes = (*text.suffixes.items(), *((PERCENT,) if text.percent else ()))
            written = NumberText(text.decimal, text.thousands, text.currency, suffixes)
        return Column(name, kind, missing=missing, written=written, change=change, present=present)
    if kind == "category":
        repair = spec.repair.get(name, spec.repair.get("*", ()))
        aliases = tuple(spec.aliases.get(name, {}).items())
        return Column(name, kind, missing=missing, repair=repair, aliases=aliases, present=present)
    return Column(name, kind, formats, missing if kind == "date" else (), present=present if kind == "date" else ())


def target_columns(model: ModelSpec, spec: CleanSpec, recipe: RowRecipe | None = None) -> tuple[Column, ...]:
    """Return the column that reads the target, if there is one; repairs of all columns do not touch labels.

    ``recipe`` knows whether the labels are truth values.
    """
    if not model.supervised:
        return ()
    own = spec.model_copy(update={"repair": {name: steps for name, steps in spec.repair.items() if name != "*"}})
    column = column_of(model.target, "number" if model.task == "regression" else "category", own)
    truth = next((known.truth for known in (recipe.columns if recipe else ()) if known.name == model.target), None)
    return (replace(column, truth=truth) if column.kind == "category" else column,)


def check_names(schema: pa.Schema, model: ModelSpec, spec: CleanSpec) -> None:
    """Raise for columns that the model or the spec names but the data lacks, and for reserved names."""
    present = source_columns(schema)
    taken = [name for name in present if name in RESERVED and name not in SAMPLED]
    if taken:
        raise DataError(
            "the source has columns whose names are reserved",
            seen=", ".join(taken),
            expected=f"names other than {', '.join(RESERVED)}",
            cure="rename them in the source",
        )
    target, time = (tuple(filter(None, [column])) for column in (model.target, model.time))
    wanted = {"target": target, "key": model.key, "time": time}
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
    named = {"drop": model.drop}
    for field in (
        "missing_in",
        "present",
        "sentinels",
        "kinds",
        "dates",
        "numbers",
        "units",
        "repair",
        "aliases",
        "outliers",
    ):
        named[f"clean.{field}"] = tuple(name for name in getattr(spec, field) if name != "*" or field != "repair")
    named["clean.allowed"], named["clean.require"] = tuple(spec.allowed), spec.require
    for text in spec.filters:
        named[f"clean.filters, {text!r}"] = Expression.parse(text, "bool").columns
    for rule, text in spec.rules.items():
        named[f"clean.rules, {rule!r}"] = Expression.parse(text, "bool").columns
    unknown = [f"{field}: {name!r}" for field, names in named.items() for name in names if name not in present]
    if unknown:
        raise SpecError(
            "the spec names columns that the data does not have",
            seen=", ".join(present)[:500],
            expected="names of source columns",
            cure="correct the names at the top of the DAG file",
            faults=unknown,
        )


def check_kinds(recipe: RowRecipe, model: ModelSpec, spec: CleanSpec) -> None:
    """Raise one SpecError for all declarations that do not fit the kind of their column or cannot be applied."""
    columns = (*recipe.kept, *target_columns(model, spec))
    kinds = {column.name: column.kind for column in columns}
    faults = []
    wanted = {"numbers": "number", "units": "number", "outliers": "number", "repair": "category", "aliases": "category"}
    for field, kind in wanted.items():
        for name in getattr(spec, field):
            seen = kinds.get(name, "dropped")
            if name != "*" and seen != kind:
                faults.append(f"clean.{field}: column {name!r} is a {kind} only if clean.kinds says so; here: {seen}")
    faults += [f"clean.outliers: column {name!r} is the target" for name in spec.outliers if name == model.target]
    faults += [
        f"clean.units: column {model.target!r} is the target, whose slips are not repaired"
        for unit in [spec.units.get(model.target)]
        if unit is not None and unit.slip is not None
    ]
    faults += [f"clean.allowed: column {name!r} is a date" for name in spec.allowed if kinds.get(name) == "date"]
    for column in columns:
        loops = chained(column.repair, dict(column.aliases)) if column.kind == "category" else []
        faults += [f"clean.aliases: {alias!r} of column {column.name!r} stands for an alias" for alias in loops]
    if spec.merge == "fill" and not model.key:
        faults.append("clean.merge: 'fill' needs the model's key")
    if faults:
        raise SpecError(
            "the spec declares what does not fit the columns",
            expected="number columns in numbers, units and outliers, category columns in repair and aliases",
            cure="correct these settings at the top of the DAG file",
            faults=faults,
        )
