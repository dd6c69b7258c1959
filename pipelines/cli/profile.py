"""What a source tells about a model: its task, its labels, how its dates are written. All rows are looked at."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …) made by pipelines.ingestion.read
from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from pipelines.errors import DataError, SpecError
from pipelines.inference.cells import canonical_text
from pipelines.inference.recipe import MISSING, MISSING_VALUES
from pipelines.ingestion.dates import learn_formats
from pipelines.ingestion.read import Source

YES = ("yes", "true", "1", "y", "t", "positive", "pos")
MAX_CLASSES = 20
SHOWN = 8


@dataclass(frozen=True)
class Target:
    """The target column in figures."""

    rows: int
    labelled: int
    """Rows with a label; 'none' and '-' may be one."""
    numbers: int
    """Labelled values that are numbers."""
    whole: int
    """Labelled values that are whole numbers."""
    distinct: int
    doubtful: int = 0
    """Labelled values such as 'none' and '-', which among numbers mean missing."""
    labels: dict[str, int] = field(default_factory=dict)
    """Count of every label, most frequent first; empty if there are more than 2,000."""

    def shown(self) -> str:
        """Give the labels for a message."""
        pairs = [f"{label!r} {count}" for label, count in list(self.labels.items())[:SHOWN]]
        return ", ".join(pairs) + (" …" if len(self.labels) > SHOWN else "")


def look_at_target(source: Source, column: str) -> Target:
    """Count the values of the target over all rows; texts are stripped, 1, 1.0 and "1" are one label."""
    name = source.internal(column)
    text = f"trim(CAST({name} AS VARCHAR))"
    given = f"SELECT {text} AS t FROM source WHERE {name} IS NOT NULL AND lower({text}) NOT IN {MISSING}"
    doubtful = f"count(*) FILTER (lower(t) IN {MISSING_VALUES})"
    number = "TRY_CAST(t AS DOUBLE)"
    labelled, numbers, whole, distinct, unsure = source.connection.execute(
        f"SELECT count(*), count({number}) FILTER (isfinite({number})), "
        f"count(*) FILTER (isfinite({number}) AND {number} = floor({number})), approx_count_distinct(t), {doubtful} "
        f"FROM ({given})"
    ).fetchall()[0] or (0, 0, 0, 0, 0)
    labels: dict[str, int] = {}
    if distinct <= 2_000:
        for value, count in source.connection.execute(f"SELECT t, count(*) FROM ({given}) GROUP BY 1").fetchall():
            label = canonical_text(value)
            labels[label] = labels.get(label, 0) + count
        labels = dict(sorted(labels.items(), key=lambda item: (-item[1], item[0])))
    return Target(source.rows, labelled, numbers, whole, len(labels) or distinct, unsure, labels)


def infer_task(target: Target, column: str) -> tuple[str, str]:
    """Give the task and why: 2 values binary, text or at most 20 whole numbers multiclass, else regression.

    Raises
    ------
    DataError
        If there are fewer than two different values.
    """
    if target.distinct < 2:
        raise DataError(
            "the target has no value at all" if not target.labelled else "the target has one class only",
            where=f"column {column!r}",
            seen=target.shown() or f"{target.rows} rows, none labelled",
            expected="at least two different values",
            cure="name the right --target, or a source that holds all outcomes",
        )
    if target.distinct == 2:
        return "binary", f"two values: {target.shown()}"
    if target.numbers < 0.95 * (target.labelled - target.doubtful):
        return "multiclass", f"{target.distinct} labels: {target.shown()}"
    if target.whole == target.labelled and target.distinct <= MAX_CLASSES:
        return "multiclass", f"{target.distinct} whole numbers: {target.shown()}; --task regression if they are amounts"
    return "regression", f"{target.distinct} different numbers"


def pick_positive(target: Target, column: str, wanted: str | None) -> tuple[str, str]:
    """Give the positive label and why: the declared one (stripped), else yes/true/1, else the rarer one.

    Raises
    ------
    SpecError
        If the declared label does not occur.
    """
    labels = list(target.labels)
    if wanted is not None:
        if canonical_text(wanted) in labels:
            return wanted.strip(), "as declared"
        near = difflib.get_close_matches(wanted.strip(), labels, n=1, cutoff=0.4)
        raise SpecError(
            "the positive label does not occur",
            where=f"column {column!r}",
            seen=target.shown(),
            expected=repr(wanted.strip()),
            cure=f"name one of these with --positive{f', perhaps {near[0]!r}' if near else ''}",
        )
    for label in labels:
        if label.lower() in YES:
            return label, "it reads as yes"
    return labels[-1], "it is the rarer one"


def learn_dates(source: Source, time: str | None, leave_out: set[str]) -> dict[str, tuple[str, ...]]:
    """Learn from all rows how the time column and the date-like text columns are written.

    Raises
    ------
    DataError
        If the time column is text that holds no dates.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, kind in zip(source.columns, source.kinds, strict=True):
        if kind != "VARCHAR" or (name in leave_out and name != time):
            continue
        is_time = name == time
        formats = learn_formats(
            source.connection, "source", source.internal(name), share=0.5 if is_time else 0.95, declared=is_time
        )
        if formats:
            found[name] = formats
        elif is_time:
            examples = source.connection.execute(
                f"SELECT DISTINCT {source.internal(name)} FROM source WHERE {source.internal(name)} IS NOT NULL LIMIT 5"
            ).fetchall()
            raise DataError(
                "the time column holds no dates",
                where=f"column {name!r}",
                seen=", ".join(repr(value) for (value,) in examples),
                expected="dates such as 2026-11-20, 11/20/2026, 20.11.2026, with or without a time of day",
                cure="name another column with --time, or none",
            )
    return found
