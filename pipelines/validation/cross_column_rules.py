"""Learns rules between columns: those that nearly every row keeps and that chance does not explain."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …)
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.reserved_columns import LABELLED
from pipelines.validation.facts import MAX_COLUMNS

HOLDS = 0.999
"""Least share of rows that keep a rule."""
CHANCE = 0.98
"""A rule that two unrelated columns with the same values keep with this probability is not kept."""
MAX_RULES = 20
"""Most rules of one kind; those with the highest scores come first."""
PAIRED = 60
"""Columns that are paired with each other, the first ones."""
SUMMED = 40
SAMPLE = 20_000
"""Rows that candidates are found on; all rows then confirm them."""


@dataclass(frozen=True)
class Between:
    """A rule between columns: its type, its arguments, and its score (higher: less likely by chance)."""

    kind: str
    kwargs: dict[str, Any]
    weight: float

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is about."""
        names = self.kwargs.get("column_list") or [
            self.kwargs[key] for key in ("column_A", "column_B", "column") if key in self.kwargs
        ]
        condition = self.kwargs.get("row_condition")
        return (*names, condition["column"]["name"]) if condition else tuple(names)


def learn_between(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> list[Between]:
    """Find the rules between the columns of a table opened by :func:`pipelines.validation.facts.opened`."""
    names = [name for name in schema.names if name not in LABELLED][:MAX_COLUMNS]
    indices = {name: schema.get_field_index(name) for name in names}
    numbers = [name for name in names if pa.types.is_floating(schema.field(name).type)]
    moments = [name for name in names if pa.types.is_timestamp(schema.field(name).type)]
    rows = int(connection.execute("SELECT count(*) FROM cleaned").fetchall()[0][0])
    if rows < 100:
        return []
    sample = _Sample(connection, indices, rows)
    found = [
        *_confirmed(connection, indices, _orders(sample, numbers[:PAIRED])),
        *_confirmed(connection, indices, _orders(sample, moments[:PAIRED])),
        *_confirmed(connection, indices, _sums(sample, numbers[:SUMMED])),
        *_confirmed(connection, indices, _gaps(sample, names[: 2 * PAIRED])),
    ]
    return sorted(found, key=lambda rule: (rule.kind, rule.columns))


class _Sample:
    """Evenly spread rows of the table, a column at a time as float64 with NaN for null."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, indices: dict[str, int], rows: int) -> None:
        self._connection, self._indices = connection, indices
        self._step = max(1, rows // SAMPLE)
        self._kept: dict[str, Any] = {}

    def column(self, name: str) -> Any:
        """Return the sampled values of a column; of a text column, 0 where there is one."""
        if name not in self._kept:
            cell = f"c{self._indices[name]}"
            kind = self._connection.execute(f"SELECT typeof({cell}) FROM cleaned LIMIT 1").fetchall()[0][0]
            value = f"epoch_us({cell})::DOUBLE" if kind.startswith("TIMESTAMP") else f"{cell}::DOUBLE"
            if kind == "VARCHAR":
                value = f"CASE WHEN {cell} IS NOT NULL THEN 0.0 END"
            values = self._connection.execute(
                f"SELECT v FROM (SELECT {value} AS v, row_number() OVER () AS r FROM cleaned) "
                f"WHERE r % {self._step} = 0 ORDER BY r"
            ).fetchnumpy()["v"]
            self._kept[name] = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
        return self._kept[name]


def _orders(sample: _Sample, names: Sequence[str]) -> Iterator[Between]:
    """Find a ≤ b and a = b."""
    for a, b in combinations(names, 2):
        left, right = sample.column(a), sample.column(b)
        both = ~(np.isnan(left) | np.isnan(right))
        if both.sum() < 50:
            continue
        left, right = left[both], right[both]
        if (left == right).mean() >= HOLDS:
            if np.ptp(left) > 0:
                yield Between("expect_column_pair_values_to_be_equal", _pair(a, b), 2.0)
            continue
        for low, high, small, large in ((a, b, left, right), (b, a, right, left)):
            kept = (small <= large).mean()
            chance = max((small <= np.roll(large, shift)).mean() for shift in (1, 7, len(large) // 2))
            if kept >= HOLDS and chance <= CHANCE:
                kwargs = _pair(high, low) | {"or_equal": True}
                yield Between("expect_column_pair_values_a_to_be_greater_than_b", kwargs, float(1 - chance))


def _pair(a: str, b: str) -> dict[str, Any]:
    return {"column_A": a, "column_B": b, "ignore_row_if": "either_value_is_missing"}


def _sums(sample: _Sample, names: Sequence[str]) -> Iterator[Between]:
    """Find total = a + b (+ c), and two to four columns with a constant sum."""
    if len(names) < 2:
        return
    table = np.column_stack([sample.column(name) for name in names])
    gaps = np.isnan(table)
    complete = np.ones(len(table), dtype=bool)
    together = []
    for index in np.argsort(gaps.mean(axis=0), kind="stable"):  # columns with many nulls would leave no whole row
        if (complete & ~gaps[:, index]).sum() >= 50:
            complete &= ~gaps[:, index]
            together.append(int(index))
    names = [names[index] for index in sorted(together)]
    whole = table[:, sorted(together)][complete][:256]
    if len(names) < 2:
        return
    # a column that is nearly always one value, or zero, takes part in sums that say nothing
    alive = [
        index
        for index in range(len(names))
        if np.unique(whole[:, index]).size > 2 and (whole[:, index] == 0).mean() < 0.9
    ]
    for size in (2, 3):
        for parts in combinations(alive, size):
            total = whole[:, parts].sum(axis=1)
            if np.all(total == total[0]) and size > 1:
                listed = [names[index] for index in parts]
                yield Between(
                    "expect_multicolumn_sum_to_equal",
                    {"column_list": listed, "sum_total": float(total[0]), "ignore_row_if": "any_value_is_missing"},
                    1.0,
                )
            near = np.abs(whole - total[:, None]) <= 1e-6 * np.maximum(1.0, np.abs(whole))
            for index in np.flatnonzero(near.mean(axis=0) >= HOLDS):
                if index not in parts and int(index) in alive:
                    listed = [names[part] for part in (*parts, int(index))]
                    yield Between("expect_multicolumn_values_to_add_up", {"column_list": listed}, 1.0 / size)


def _gaps(sample: _Sample, names: Sequence[str]) -> Iterator[Between]:
    """Find pairs of columns where one is null whenever the other is, though it is rarely null."""
    nulls = {name: np.isnan(sample.column(name)) for name in names}
    gappy = {name: mask for name, mask in nulls.items() if 0.002 <= mask.mean() <= 0.9 and mask.sum() >= 30}
    for a, b in permutations(gappy, 2):
        kept = gappy[b][gappy[a]].mean()
        chance = gappy[b].mean()
        if kept >= HOLDS and chance <= 0.9:
            condition = {"type": "nullity", "column": {"name": a}, "is_null": True}
            yield Between(
                "expect_column_values_to_be_null", {"column": b, "row_condition": condition}, float(1 - chance)
            )


def _confirmed(
    connection: duckdb.DuckDBPyConnection, indices: dict[str, int], found: Iterator[Between]
) -> list[Between]:
    """Keep the rules with the highest scores that all rows confirm, without those that follow from two others."""
    ranked = sorted(found, key=lambda rule: (-rule.weight, rule.columns))
    ordered = {
        (rule.kwargs["column_A"], rule.kwargs["column_B"])
        for rule in ranked
        if rule.kind.endswith("a_to_be_greater_than_b")
    }
    kept: list[Between] = []
    for rule in ranked:
        if len(kept) == MAX_RULES:
            break
        if rule.kind.endswith("a_to_be_greater_than_b"):
            high, low = rule.kwargs["column_A"], rule.kwargs["column_B"]
            if any((high, middle) in ordered and (middle, low) in ordered for middle in indices):
                continue
        share = connection.execute(f"SELECT {_holds(rule, indices)} FROM cleaned").fetchall()[0][0]
        if share is not None and share >= HOLDS:
            kept.append(rule)
    return kept


def _holds(rule: Between, indices: dict[str, int]) -> str:
    """Return the SQL of the share of applicable rows that keep a rule."""
    cells = [f"c{indices[name]}" for name in rule.columns]
    if rule.kind == "expect_column_values_to_be_null":
        return f"avg(CASE WHEN {cells[1]} IS NULL THEN ({cells[0]} IS NULL)::INTEGER END)"
    if rule.kind == "expect_column_pair_values_to_be_equal":
        return f"avg(({cells[0]} = {cells[1]})::INTEGER)"
    if rule.kind == "expect_multicolumn_sum_to_equal":
        return f"avg(({' + '.join(cells)} = {rule.kwargs['sum_total']!r})::INTEGER)"
    if rule.kind == "expect_multicolumn_values_to_add_up":
        *parts, total = cells
        return f"avg((abs({' + '.join(parts)} - {total}) <= 1e-6 * greatest(1, abs({total})))::INTEGER)"
    return f"avg(({cells[0]} >= {cells[1]})::INTEGER)"
