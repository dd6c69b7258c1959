"""Assigns each raw row one outcome: clean, quarantined, duplicate, filtered or unlabelled; nothing is dropped later."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.cleaning import duplicates
from pipelines.cleaning.counts import Tally, examples_of, report_of
from pipelines.cleaning.declared_columns import source_columns
from pipelines.cleaning.learn import learn
from pipelines.cleaning.outliers import learn_bounds
from pipelines.cleaning.parts import Parts, TableParts
from pipelines.cleaning.rules import Judged, RowRules
from pipelines.cleaning.spec import CleanSpec
from pipelines.cleaning.target import as_written, check_labels
from pipelines.errors import DataError
from pipelines.inference.recipe.number_parsing import Change
from pipelines.inference.recipe.row_recipe import RowRecipe
from pipelines.spec import ModelSpec

Sink = Callable[[int, pa.Table, pa.Table], None]
"""Takes the index of a part, its clean rows and its held rows; called from several threads, in any order."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CleanedTable:
    """The results of cleaning besides the rows: the recipe, raw example rows, and the counts."""

    recipe: RowRecipe
    examples: pa.Table
    report: dict[str, Any]


@dataclass(frozen=True)
class Cleaned(CleanedTable):
    """The outcome for a table in memory."""

    table: pa.Table
    quarantine: pa.Table


def clean(raw: pa.Table, model: ModelSpec, spec: CleanSpec, hidden: Collection[str] = ()) -> Cleaned:
    """Clean a table in memory; see :func:`clean_parts`."""
    tables: dict[int, tuple[pa.Table, pa.Table]] = {}

    def keep(index: int, table: pa.Table, quarantine: pa.Table) -> None:
        tables[index] = table, quarantine

    with tempfile.TemporaryDirectory(prefix="aimass-clean-") as work:
        outcome = clean_parts(TableParts(raw), model, spec, keep, Path(work), hidden)
    table, quarantine = (pa.concat_tables([tables[index][side] for index in sorted(tables)]) for side in (0, 1))
    return Cleaned(outcome.recipe, outcome.examples, outcome.report, table, quarantine)


def clean_parts(
    parts: Parts,
    model: ModelSpec,
    spec: CleanSpec,
    sink: Sink,
    work: Path,
    hidden: Collection[str] = (),
    optional: Collection[str] = (),
) -> CleanedTable:
    """Learn the recipe on unsealed rows and clean all rows, part by part.

    Parameters
    ----------
    parts
        Source columns as read, with ``_key``, ``_time``, ``_sealed`` and ``_weight``.
    sink
        Takes the clean rows of every part (``_key``, ``_time``, ``_sealed``, ``_weight``, where there is a target
        ``_y``, and the recipe's columns) and its held ones (raw, with ``_reason``).
    work
        Empty folder for what does not fit into memory.
    hidden
        Columns not known at serving.
    optional
        Columns that some files of the source lack.

    Raises
    ------
    DataError
        No rows, columns missing, labels that do not fit the task, or too many rows in quarantine.
    """
    if not parts.rows:
        raise DataError(
            "there are no rows to clean", seen="0 rows", expected="at least one", cure="check the source and its period"
        )
    recipe, notes = learn(parts, model, spec, hidden, optional)
    unsealed = not parts.flags("_sealed").all()
    recipe, limits = learn_bounds(parts, recipe, spec, unsealed, notes)
    rules = RowRules(recipe, limits, model, spec)
    equal = duplicates.exact_duplicates(parts)
    if model.key:
        found = duplicates.key_duplicates(parts, rules.judge, work if spec.merge == "fill" else None)
    else:
        drop = spec.exact_duplicates == "drop"
        found = duplicates.Duplicates(equal if drop else np.zeros(parts.rows, dtype=bool))
    starts = parts.starts()

    def one(index: int) -> Tally:
        raw = parts.read(index)
        judged = rules.judge(raw)
        judged = rules.filled(raw, judged, found.fill(judged.typed, starts[index]))
        superseded = found.superseded[starts[index] : starts[index] + parts.sizes[index]]
        tally = Tally.of(raw, judged, superseded, model, starts[index])
        table = _clean_table(raw, judged, recipe, model)
        sink(index, table.filter(pa.array(tally.clean)), judged.held.table())
        return tally.shrunk()

    tallies = parts.each(one)
    report = report_of(tallies, recipe, notes, spec)
    report["exact_duplicates"] = int(equal.sum())
    if spec.merge == "fill":
        report["filled"] = found.filled
    report["written"] = as_written(sum((tally.spellings for tally in tallies), Counter()))
    report["labels"] = check_labels(sum((tally.labels for tally in tallies), Counter()), model)
    return CleanedTable(recipe, examples_of(tallies, source_columns(parts.schema)), report)


def clean_schema(recipe: RowRecipe, model: ModelSpec) -> pa.Schema:
    """Return the schema of the clean table."""
    kinds = {"number": pa.float64(), "date": pa.timestamp("us"), "category": pa.string()}
    return pa.schema(
        [
            ("_key", pa.string()),
            ("_time", pa.timestamp("us", "UTC")),
            ("_sealed", pa.bool_()),
            ("_weight", pa.float64()),
            *([("_y", pa.string() if model.classifies else pa.float64())] if model.supervised else []),
            *((column.name, kinds[column.kind]) for column in recipe.kept),
        ]
    )


def _clean_table(raw: pa.Table, judged: Judged, recipe: RowRecipe, model: ModelSpec) -> pa.Table:
    schema = clean_schema(recipe, model)
    columns = [raw[name].cast(schema.field(name).type) for name in ("_key", "_time", "_sealed", "_weight")]
    if model.supervised:
        columns.append(pa.array(judged.y, schema.field("_y").type, from_pandas=True))
    for column in recipe.kept:
        values: Any = judged.typed[column.name]
        if column.change.clip is not None:
            values = Change(clip=column.change.clip).column(values.to_numpy())
        columns.append(pa.array(values, schema.field(column.name).type, from_pandas=True))
    table = pa.table(columns, schema=schema)
    return table.append_column("_group", raw["_group"].cast(pa.string())) if "_group" in raw.column_names else table
