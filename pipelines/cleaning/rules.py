"""Applies the rules on single rows to one part: a row is clean, held with reasons, or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning.declared_columns import target_columns
from pipelines.cleaning.outliers import Bounds, outside, shown
from pipelines.cleaning.quarantine import Held
from pipelines.cleaning.spec import CleanSpec
from pipelines.cleaning.target import no_target, read_target
from pipelines.inference.expressions.columns import Expression
from pipelines.inference.recipe import cells
from pipelines.inference.recipe.arrays import one_array
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.spec import ModelSpec

_WORDS = {"number": "a number", "date": "a date", "category": "a category"}
Mask = npt.NDArray[np.bool_]


@dataclass
class Judged:
    """One judged part: its clean values before clipping, its target, and what is wrong with which rows."""

    typed: pd.DataFrame
    y: pd.Series[Any]
    held: Held
    left_out: dict[str, Mask]
    told: frozenset[str]
    """Names of the rules that are true or false, not null, for at least one row."""
    spellings: Counter[tuple[str, str]]
    """Count of every label as it is written: (label, text)."""

    @property
    def labelled(self) -> Mask:
        """Rows with a label."""
        return np.asarray(self.y.notna(), dtype=bool)

    @property
    def filtered(self) -> Mask:
        """Rows that a filter, a required value or a dropped outlier leaves out."""
        out = np.zeros(len(self.y), dtype=bool)
        for mask in self.left_out.values():
            out |= mask
        return out


class RowRules:
    """All rules about single rows.

    Parameters
    ----------
    recipe
        As learned; rules and filters see its values before they are clipped.
    limits
        Bounds of the columns whose outliers are dropped or held.
    """

    def __init__(self, recipe: RowRecipe, limits: Mapping[str, Bounds], model: ModelSpec, spec: CleanSpec) -> None:
        self.recipe = recipe.unclipped()
        self.limits, self.model, self.spec = limits, model, spec
        self.target = target_columns(model, spec, recipe)
        self.rules = {name: Expression.parse(text, "bool") for name, text in spec.rules.items()}
        self.filters = [Expression.parse(text, "bool") for text in spec.filters]
        columns = {column.name: column for column in (*recipe.kept, *self.target)}
        self.allowed = {
            name: _allowed(columns.get(name, Column(name, "category")), texts, recipe)
            for name, texts in spec.allowed.items()
        }

    def judge(self, raw: pa.Table) -> Judged:
        """Judge the rows of one part, shape (n,)."""
        typed, bad = self.recipe.apply(raw)
        target = no_target(raw.num_rows)
        for column in self.target:
            target = read_target(raw[column.name], self.model, self.recipe, column)
        y, bad_target = target.y, target.bad
        held = Held(raw)
        for column in self.recipe.kept:
            held.hold(
                bad[column.name].to_numpy(),
                f"column {column.name!r} cannot be read as {_WORDS[column.kind]}",
                [column.name],
            )
        name = self.model.target
        word = "a number" if self.model.task == "regression" else "a label"
        held.hold(bad_target, f"column {name!r} cannot be read as {word} (target)", [name])
        self._keys(raw, held)
        self._times(raw, typed, bad, held)
        for name, texts in self.allowed.items():
            values: Any = y if name == self.model.target else typed[name] if name in typed else raw[name]
            held.hold(_not_among(values, texts), f"column {name!r} holds none of its allowed texts", [name])
        for name, bounds in self.limits.items():
            if self.spec.outliers[name].action == "hold":
                beyond = outside(typed[name].to_numpy(), bounds)
                held.hold(beyond, f"column {name!r} lies outside {shown(bounds)}", [name])
        told = set()
        for name, rule in self.rules.items():
            truth = _truth(rule, raw, typed)
            told |= {name} if truth.null_count < len(truth) else set()
            held.hold(_false(truth), f"rule {name!r} is broken ({rule.text})", list(rule.columns))
        return Judged(typed, y, held, self._left_out(raw, typed), frozenset(told), target.spellings)

    def filled(self, raw: pa.Table, judged: Judged, typed: pd.DataFrame) -> Judged:
        """Return ``judged`` with gaps filled from older rows of the key; filters and required values see them."""
        if typed is judged.typed:
            return judged
        return replace(judged, typed=typed, left_out=self._left_out(raw, typed))

    def _left_out(self, raw: pa.Table, typed: pd.DataFrame) -> dict[str, Mask]:
        out: dict[str, Mask] = {}
        for rule in self.filters:
            out[f"filter {rule.text!r} is false"] = _false(_truth(rule, raw, typed))
        for name in self.spec.require:
            lacking = typed[name].isna() if name in typed else raw[name].is_null().to_pandas()
            out[f"column {name!r} is required and missing"] = lacking.to_numpy()
        for name, bounds in self.limits.items():
            if self.spec.outliers[name].action == "drop":
                out[f"column {name!r} lies outside {shown(bounds)}"] = outside(typed[name].to_numpy(), bounds)
        return out

    def _keys(self, raw: pa.Table, held: Held) -> None:
        for name in self.model.key:
            missing = _missing_texts(raw[name], self.recipe)
            held.hold(missing, f"column {name!r} is missing, but is part of the key", [])

    def _times(self, raw: pa.Table, typed: pd.DataFrame, bad: pd.DataFrame, held: Held) -> None:
        name = self.model.time
        if not name:
            return
        if name in typed:
            lost = typed[name].isna().to_numpy() & ~bad[name].to_numpy()
        else:
            lost = raw["_time"].is_null().to_numpy()  # never shown to the learner, but it still seals by date
        held.hold(lost, f"column {name!r} is missing, but tells when the row happened", [])


def _truth(rule: Expression, raw: pa.Table, typed: pd.DataFrame) -> pa.Array:
    """Return whether an expression is true, false or null, for each row."""
    columns = {name: typed[name] if name in typed else raw[name] for name in rule.columns}
    return one_array(rule.evaluate(columns, raw.num_rows))


def _false(truth: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(pc.invert(truth), False).to_numpy(zero_copy_only=False), dtype=bool)


def _allowed(column: Column, texts: tuple[str, ...], recipe: RowRecipe) -> pa.Array:
    """Return the allowed clean values of a column."""
    if column.kind == "dropped":
        column = Column(column.name, "category")
    one = RowRecipe((column,), (), (), recipe.refuse_controls)
    values = [one.apply_row({column.name: text})[column.name] for text in texts]
    return pa.array(values, pa.float64() if column.kind == "number" else pa.large_string())


def _not_among(column: Any, allowed: pa.Array) -> Mask:
    if isinstance(column, pa.ChunkedArray):
        column = RowRecipe((Column("c", "category"),)).apply(pa.table({"c": column}))[0]["c"]
    values = pa.array(column, allowed.type, from_pandas=True)
    known = pc.or_(pc.is_in(values, value_set=allowed.drop_null()), values.is_null())
    return np.asarray(pc.invert(one_array(known)).to_numpy(zero_copy_only=False), dtype=bool)


def _missing_texts(column: pa.ChunkedArray, recipe: RowRecipe) -> Mask:
    """Mark the cells of a key that are missing or cannot be part of a key."""
    array, tokens = one_array(column), recipe.tokens("category")
    plain = not cells.number_tokens(tokens)  # else 999.0 and "999" would have to be compared as numbers
    if plain and (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        text = pc.utf8_trim(array, characters=cells.WHITESPACE)
        words = pa.array(sorted(token.decode() for token in tokens), text.type)
        odd = pc.or_(pc.is_in(pc.ascii_lower(text), value_set=words), pc.greater(pc.utf8_length(text), cells.MAX_TEXT))
        return np.asarray(pc.fill_null(odd, True).to_numpy(zero_copy_only=False), dtype=bool)
    if plain and pa.types.is_integer(array.type):
        return np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    one = RowRecipe((Column("key", "category"),), recipe.missing, recipe.missing_values, refuse_controls=False)
    return np.asarray(one.apply(pa.table({"key": array}))[0]["key"].isna().to_numpy(), dtype=bool)
