"""Judges a table by a suite, one partition after another, with passes over single columns where partitions say little.

What a rule asks decides how it is judged; the verdict is that of the whole table:

- of each cell (ranges, sets, lengths, nulls): Arrow counts in one pass over the table, Great Expectations judges the
  counts;
- of each row otherwise (conditions, patterns, pairs of columns): Great Expectations judges each partition, the counts
  are added up and ``mostly`` is applied to the sums;
- of the table (rows, columns, types): from its schema and its count;
- of a column as a whole (uniqueness, quantiles, mean, extremes, sets of distinct values): DuckDB reads that column,
  Great Expectations judges the outcome;
- whatever else: Great Expectations judges a frame of just the rule's columns, which is then said.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from great_expectations.core import ExpectationValidationResult
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
    _format_map_output,
    _mostly_success,
    parse_result_format,
)

from pipelines.storage import dataset
from pipelines.validation.context import SuiteJudge
from pipelines.validation.counting import NULLS, Check, Count, check_of, count
from pipelines.validation.partitions import Partitions, columns_of
from pipelines.validation.table_checks import EXAMPLES, Whole

UNJUDGED = ("_sealed", "_weight")
"""Columns without rules."""
_MAPS = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
_UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
_TYPE = "expect_column_values_to_be_of_type"
_DISTINCT = "expect_column_distinct_values_to_"
_NOT_BY_ROW = (
    *_UNIQUE, "expect_multicolumn_values_to_be_unique", "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing", "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_not_be_outliers",
)  # fmt: skip
SUMMARY = parse_result_format("SUMMARY")
Result = Any


@dataclass(frozen=True)
class SuiteResult:
    """What a suite says about a table: one line per failed rule."""

    rules: int
    hard_failed: list[str]
    soft_failed: list[str]
    rows: int = 0
    partitions: int = 0
    whole: list[str] = field(default_factory=list)
    """Rules for which whole columns had to be read at once."""
    broken: list[str] = field(default_factory=list)
    """Ids of the failed rules, in the suite's order."""


def judge(
    folder: Path,
    suite: Mapping[str, Any],
    root: Path,
    name: str,
    docs: bool,
    *,
    as_of: datetime | None = None,
    partition_rows: int | None = None,
    threads: int = 2,
) -> SuiteResult:
    """Run a suite over a folder of Parquet; with ``docs``, leave Data Docs of the whole table in ``root/docs``.

    Parameters
    ----------
    partition_rows
        Rows of a partition; default: see :class:`~pipelines.validation.partitions.Partitions`.

    Raises
    ------
    SpecError
        If a rule is not one that Great Expectations knows; lists every one.
    """
    gx = SuiteJudge(suite, root, name)
    results, rows, partitions, whole = _results(gx, folder, root / "spill", partition_rows, threads)
    if docs:
        gx.publish(results, as_of or datetime.now(UTC), rows, partitions)
    hard: list[str] = []
    soft: list[str] = []
    for result in results:
        if not result.success:
            critical = str(getattr(result.expectation_config.severity, "value", "critical")) == "critical"
            (hard if critical else soft).append(line(result))
    broken = [rule.id for rule, result in zip(gx.rules, results, strict=True) if not result.success]
    return SuiteResult(len(results), hard, soft, rows, partitions, whole, broken)


def _results(
    gx: SuiteJudge, folder: Path, spill: Path, partition_rows: int | None, threads: int
) -> tuple[list[Result], int, int, list[str]]:
    """Return the result of every rule in the suite's order, the rows, the partitions, and the rules read as a whole."""
    schema = dataset(folder).schema
    names = [name for name in schema.names if name not in UNJUDGED]
    checks: dict[str, tuple[str, Check]] = {}
    by_row: list[Any] = []
    by_schema: list[Any] = []
    as_whole: list[Any] = []
    for rule in gx.rules:
        kwargs = gx.kwargs[rule.id]
        wanted = columns_of(kwargs, names)
        check = None
        if wanted is not None and len(wanted) == 1 and wanted <= set(names) and not kwargs.get("row_condition"):
            check = check_of(rule.expectation_type, kwargs, schema.field(min(wanted)).type)
        if check is not None:
            checks[rule.id] = kwargs["column"], check
        elif (wanted is not None and not wanted <= set(names)) or _of_type(rule, kwargs, schema):
            by_schema.append(rule)  # or of a column that is gone
        elif isinstance(rule, _MAPS) and rule.expectation_type not in _NOT_BY_ROW:
            by_row.append(rule)
        elif wanted and rule.expectation_type != "expect_column_to_exist":
            as_whole.append(rule)
        else:
            by_schema.append(rule)
    counts = count(folder, checks, EXAMPLES)
    results = {rule.id: _of_count(gx, rule, counts[rule.id]) for rule in gx.rules if rule.id in counts}
    results |= _by_row(gx, by_row, folder, names, partition_rows)
    spill.mkdir(exist_ok=True)
    with Whole(folder, spill, threads) as table:
        rows = table.rows()
        results |= _by_schema(gx, by_schema, schema, names, rows)
        told: list[str] = []
        for rule in as_whole:
            result = _column(gx, rule, table, rows)
            if result is None:
                about = columns_of(gx.kwargs[rule.id], names) or names
                told.append(f"{rule.expectation_type} of {', '.join(sorted(about))}")
                result = _read_whole(gx, rule, folder, names)
            results[rule.id] = result
    size = Partitions(folder, names, partition_rows).rows
    partitions = max(1, -(-rows // size)) if checks or by_row else 0
    return [results[rule.id] for rule in gx.rules], rows, partitions, told


def _of_type(rule: Any, kwargs: Mapping[str, Any], schema: pa.Schema) -> bool:
    """Tell whether a rule is about the type of a column whose type is the same in every frame."""
    if rule.expectation_type != _TYPE or kwargs.get("row_condition") or kwargs["column"] not in schema.names:
        return False
    kind = schema.field(kwargs["column"]).type
    return bool(pa.types.is_floating(kind) or pa.types.is_string(kind) or pa.types.is_timestamp(kind))


def _of_count(gx: SuiteJudge, rule: Any, counted: Count) -> Result:
    given = None if rule.expectation_type in NULLS else counted.elements - counted.missing
    return made(gx, rule, _counted(gx, rule, counted.elements, given, counted.unexpected, counted.examples))


def _by_row(
    gx: SuiteJudge, rules: Sequence[Any], folder: Path, names: Sequence[str], partition_rows: int | None
) -> dict[str, Result]:
    """Judge each partition and add up what was counted."""
    if not rules:
        return {}
    groups: dict[frozenset[str], list[Any]] = {}
    for rule in rules:
        groups.setdefault(frozenset(columns_of(gx.kwargs[rule.id], names) or names), []).append(rule)
    parts = Partitions(folder, frozenset().union(*groups), partition_rows)
    found: dict[str, list[Result]] = {}
    for frame in parts.frames():
        for columns, group in groups.items():  # a frame of its columns alone: whole ones are copied for each rule
            for rule_id, result in gx.check(frame[sorted(columns)], group).items():
                found.setdefault(rule_id, []).append(result)
    return {rule.id: _added(gx, rule, found[rule.id]) for rule in rules}


def _added(gx: SuiteJudge, rule: Any, parts: Sequence[Result]) -> Result:
    """Return the one result of all partitions' results."""
    failed = next((part for part in parts if _raised(part)), None)
    if failed is not None or not any("element_count" in part.result for part in parts):
        # of a type: every partition is of it, or one is shown that is not
        return failed or next((part for part in parts if not part.success), parts[0])
    counted = [part.result for part in parts if "element_count" in part.result]
    elements = sum(part["element_count"] for part in counted)
    unexpected = sum(part["unexpected_count"] or 0 for part in counted)
    missing = sum(part["missing_count"] for part in counted) if "missing_count" in counted[0] else None
    examples = [value for part in counted for value in part.get("partial_unexpected_list") or ()][:EXAMPLES]
    considered = elements - (missing or 0)
    return made(gx, rule, _counted(gx, rule, elements, None if missing is None else considered, unexpected, examples))


def _counted(
    gx: SuiteJudge, rule: Any, elements: int, given: int | None, unexpected: int, examples: list[Any]
) -> dict[str, Any]:
    considered = elements if given is None else given
    good = considered == 0 or _mostly_success(considered, unexpected, gx.kwargs[rule.id].get("mostly", 1.0))
    outcome: dict[str, Any] = _format_map_output(
        SUMMARY, bool(good), element_count=elements, nonnull_count=given, unexpected_count=unexpected,
        unexpected_list=examples,
    )  # fmt: skip
    return outcome


def _by_schema(
    gx: SuiteJudge, rules: Sequence[Any], schema: pa.Schema, names: Sequence[str], rows: int
) -> dict[str, Result]:
    """Judge the rules on the schema, the number of rows, and columns that do not exist."""
    empty = schema.empty_table().select(list(names)).to_pandas()
    metrics = {"table.row_count": rows, "table.columns": list(names)}
    results: dict[str, Result] = {}
    others = []
    for rule in rules:
        kind, kwargs = rule.expectation_type, gx.kwargs[rule.id]
        if kind == _TYPE and kwargs["column"] in empty:
            outcome = rule._validate_pandas(empty.dtypes[kwargs["column"]], kwargs["type_"])
        elif kind == "expect_column_to_exist" or (
            kind.startswith("expect_table_row_count_to_") and "other_table" not in kind
        ):
            outcome = rule._validate(metrics=metrics)
        else:
            others.append(rule)
            continue
        results[rule.id] = made(gx, rule, outcome)
    return results | gx.check(empty, others)


def _column(gx: SuiteJudge, rule: Any, table: Whole, rows: int) -> Result | None:
    """Judge a rule on a whole column from DuckDB's metrics; None if they are not known."""
    kind, kwargs = rule.expectation_type, gx.kwargs[rule.id]
    if kind in _UNIQUE and not kwargs.get("row_condition") and kwargs.get("ignore_row_if") in (None, "never"):
        columns = [kwargs["column"]] if kind == _UNIQUE[0] else list(kwargs["column_list"])
        given, unexpected, examples = table.repeated(columns)
        return made(gx, rule, _counted(gx, rule, rows, given, unexpected, examples))
    if kind.startswith(_DISTINCT) and not kwargs.get("row_condition"):
        return gx.check(table.distinct(kwargs["column"]), [rule])[rule.id]
    metrics = table.metrics(kind, kwargs)
    if metrics is None:
        return None
    return made(gx, rule, rule._validate(metrics=metrics, runtime_configuration={"result_format": SUMMARY}))


def _read_whole(gx: SuiteJudge, rule: Any, folder: Path, names: Collection[str]) -> Result:
    """Judge a rule that needs all rows at once, on its columns."""
    wanted = columns_of(gx.kwargs[rule.id], names) or set(names)
    frames = list(Partitions(folder, wanted).frames())
    return gx.check(pd.concat(frames, ignore_index=True), [rule])[rule.id]


def made(gx: SuiteJudge, rule: Any, outcome: Mapping[str, Any]) -> Result:
    """Return the result object of a rule for what was found."""
    calm = {"raised_exception": False, "exception_traceback": None, "exception_message": None}
    return ExpectationValidationResult(
        success=bool(outcome["success"]),
        expectation_config=gx.configurations[rule.id],
        result=dict(outcome.get("result") or {}),
        meta={},
        exception_info=calm,
    )


def line(result: Result) -> str:
    """Return a failed rule with what was seen, in one line."""
    kwargs = result.expectation_config.kwargs
    limits = {key: value for key, value in kwargs.items() if key not in ("column", "batch_id")}
    column = kwargs.get("column")
    seen: list[str] = []
    outcome = result.result or {}
    if outcome.get("observed_value") is not None:
        seen.append(str(outcome["observed_value"]))
    if outcome.get("unexpected_percent") is not None:
        seen.append(f"{outcome['unexpected_percent']:.2f} % of values")
    examples = list(dict.fromkeys(repr(value) for value in outcome.get("partial_unexpected_list") or []))
    if examples:
        seen.append("such as " + ", ".join(examples[:3]))
    errors = [info.get("exception_message") for info in _infos(result.exception_info)]
    if any("list index out of range" in str(error) for error in errors):
        errors = ["the column is gone"]  # how Great Expectations looks up the type of a column
    seen.extend(dict.fromkeys(str(error) for error in errors if error))
    where = f"column {column!r}: " if column else ""
    wanted = json.dumps(limits, default=str, ensure_ascii=False)
    return f"{where}{result.expectation_config.type} {wanted[:200]}; seen {', '.join(seen) or 'a breach'}"[:600]


def _raised(result: Result) -> bool:
    return any(info.get("raised_exception") for info in _infos(result.exception_info))


def _infos(info: Any) -> list[dict[str, Any]]:
    if not isinstance(info, dict):
        return []
    return [info] if "exception_message" in info else [part for part in info.values() if isinstance(part, dict)]
