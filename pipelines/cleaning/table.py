"""The table that `aimass init` and `aimass data` show: how each column is read, in a few words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.recipe import dates
from pipelines.inference.recipe.arrays import one_array, without_infinite
from pipelines.inference.recipe.number_parsing import NumberText, SpanText, TruthText
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.spec import ModelSpec

SHOWN = 24
HEADER = ("column", "read as", "example", "missing", "becomes")


def describe(
    recipe: RowRecipe,
    model: ModelSpec,
    examples: pa.Table,
    profile: Mapping[str, Mapping[str, Any]],
    hidden: Collection[str] = (),
    target: Collection[Column] = (),
) -> list[dict[str, Any]]:
    """Return one entry per source column, in source order, with the keys of ``HEADER``.

    Parameters
    ----------
    examples
        Raw rows.
    profile
        Has the share of ``missing`` cells of the columns that come out.
    hidden
        Columns not known at serving.
    target
        How the target is read.
    """
    labels = {column.name: column for column in target}
    return [
        {
            "column": column.name,
            "read as": _read_as(labels.get(column.name, column), model),
            "example": _example(examples, column.name),
            "missing": profile.get(column.name, {}).get("missing"),
            "becomes": _becomes(column, model, hidden),
        }
        for column in recipe.columns
    ]


def reading(column: Column) -> str:
    """Return in words how a column is read."""
    if column.kind == "number":
        return f"number{_written(column.written)}"
    if column.kind == "date":
        formats = ", ".join(name for name in column.formats if name != dates.ISO)
        return f"date, {formats}" if formats else "date"
    if column.kind == "category":
        if column.truth is not None:
            return f"truth value, {' or '.join(column.truth)}"
        return "list or object" if column.nested else "category"
    return "not read"


def _read_as(column: Column, model: ModelSpec) -> str:
    return "as written" if column.name in model.key and column.kind == "dropped" else reading(column)


def _written(written: object) -> str:
    if isinstance(written, SpanText):
        return ", in seconds"
    if isinstance(written, TruthText):
        return ", 1 or 0"
    if not isinstance(written, NumberText):
        return ""
    marks = [f"decimal {written.decimal!r}"] if written.decimal != "." else []
    marks += [f"thousands {written.thousands!r}"] if written.thousands else []
    marks += ["currency"] if written.currency else []
    marks += [unit for unit, _ in written.suffixes]
    return f", {', '.join(marks)}" if marks else ""


def _becomes(column: Column, model: ModelSpec, hidden: Collection[str]) -> str:
    if column.name == model.target:
        return "the target"
    uses = (["key"] if column.name in model.key else []) + (["time"] if column.name == model.time else [])
    if column.kind != "dropped":
        uses.append("feature")
    elif not uses:
        uses.append("left out, not known at serving" if column.name in hidden else "left out")
    return ", ".join(uses)


def _example(examples: pa.Table, name: str) -> str | None:
    if name not in examples.column_names:
        return None
    cells = one_array(examples[name])
    kind = cells.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        cells, _ = without_infinite(cells)
    cells = cells.drop_null()
    if pa.types.is_timestamp(kind):
        cells = pc.replace_substring_regex(cells.cast(pa.string()), r"\.0+(Z?)$", r"\1")
    text = next((str(cell) for cell in cells.slice(0, 50).to_pylist() if str(cell).strip()), None)
    if text is None:
        return None
    plain = "".join(sign if sign.isprintable() else " " for sign in text.strip())
    return plain if len(plain) <= SHOWN else plain[: SHOWN - 1] + "…"
