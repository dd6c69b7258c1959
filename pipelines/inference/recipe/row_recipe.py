"""The row recipe: what turns any raw row into a clean one, for training, batch and single requests alike.

A frame's cells may be raw text, typed (Parquet) or mixed (JSON). Number columns of one type go through Arrow; every
other column is read once per *distinct* value by the very function that reads a single row's cell, so the paths
cannot drift apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.artifacts import canonical_json
from pipelines.errors import DataError
from pipelines.inference.recipe import cells, dates
from pipelines.inference.recipe.category_repair import Step, repairer
from pipelines.inference.recipe.columns import Kind, Mask, read_column
from pipelines.inference.recipe.number_parsing import Change, Written, written_from_json
from pipelines.inference.recipe.remembered import remembered

FORMAT = 3
"""Format 1 knew names, kinds, date formats and missing tokens only, and let control characters pass; format 2 compared
texts as they were, in any Unicode form."""
MISSING = ("", "?", "na", "n/a", "#n/a", "nan", "<na>", "null")
"""Missing in every column, compared without case after stripping. 'None' and 'unknown' may be true categories."""
MISSING_VALUES = ("none", "-", "--", ".", "nil", "missing")
"""Missing too in columns of numbers and dates, where they can mean nothing else."""


@dataclass(frozen=True)
class Column:
    """How one source column is read.

    Parameters
    ----------
    formats
        Of a date column, tried in order before ISO 8601.
    missing
        Further missing tokens of this column; a number among them is compared as a number.
    present
        Missing tokens that are values in this column, such as ``NA`` for North America.
    written, change
        Of a number column: how its texts are written, and what is done to a number after it was read.
    truth
        Of a category column of truth values: its words for true and false, which every spelling reads as.
    nested
        A category column of lists or objects, compared as JSON.
    optional
        Some files of the source lack the column, so callers may leave it out.
    repair, aliases
        Of a category column; see :func:`pipelines.inference.recipe.category_repair.repairer`.
    """

    name: str
    kind: Kind
    formats: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    written: Written | None = None
    change: Change = field(default_factory=Change)
    repair: tuple[Step, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    present: tuple[str, ...] = ()
    truth: tuple[str, str] | None = None
    nested: bool = False
    optional: bool = False


@dataclass(frozen=True)
class RowRecipe:
    """The reading rules of every source column, in source order.

    Parameters
    ----------
    columns
        All columns of the source; ``dropped`` ones (target, key, declared) never come out.
    missing, missing_values
        Tokens that mean missing, everywhere and in number and date columns.
    refuse_controls
        Category texts that hold control characters are unreadable.
    normal_form
        Category texts are compared in Unicode's normal form C.
    """

    columns: tuple[Column, ...]
    missing: tuple[str, ...] = MISSING
    missing_values: tuple[str, ...] = MISSING_VALUES
    refuse_controls: bool = True
    normal_form: bool = True
    readers: dict[str, cells.Reader] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.kept:
            self.readers[column.name] = remembered(self._reader(column))

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns that come out."""
        return tuple(column for column in self.columns if column.kind != "dropped")

    @property
    def names(self) -> list[str]:
        """Names of the columns that come out."""
        return [column.name for column in self.kept]

    def subset(self, names: Iterable[str]) -> RowRecipe:
        """Return the recipe of these columns only, in this recipe's order."""
        wanted = set(names)
        return replace(self, columns=tuple(column for column in self.columns if column.name in wanted))

    def settled(self) -> RowRecipe:
        """Return the recipe for values that are clean already: it leaves out what must be done only once.

        Those are units, slips, ways of writing and missing numbers; all else changes a clean value no more.
        """
        return replace(
            self,
            columns=tuple(
                replace(column, missing=(), written=None, change=Change(clip=column.change.clip))
                for column in self.columns
            ),
        )

    def unclipped(self) -> RowRecipe:
        """Return this recipe without its clips."""
        columns = tuple(replace(column, change=replace(column.change, clip=None)) for column in self.columns)
        return replace(self, columns=columns)

    def tokens(self, kind: Kind, further: Iterable[str] = (), present: Iterable[str] = ()) -> frozenset[bytes]:
        """Return the lowered missing tokens of a kind of column, with the ``further`` and without the ``present`` ones.

        Infinite dates are missing dates.
        """
        words = (*self.missing, *(() if kind == "category" else self.missing_values))
        words = (*words, *(dates.INFINITE if kind == "date" else ()))
        return (_lowered(words) - _lowered(tuple(present))) | _lowered(tuple(further))

    def tokens_of(self, column: Column) -> frozenset[bytes]:
        """Return the lowered missing tokens of a column."""
        return self.tokens(column.kind, column.missing, column.present)

    def apply(self, frame: pd.DataFrame | pa.Table) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Read all rows of a frame that holds every kept column; others are ignored.

        Returns
        -------
        clean : DataFrame
            The kept columns as given: number float64, category ``str``, date datetime64[us], null where unreadable.
        bad : DataFrame of bool
            True where a cell was there but could not be read.

        Raises
        ------
        DataError
            A kept column is absent, or stands twice.
        """
        index = frame.index if isinstance(frame, pd.DataFrame) else pd.RangeIndex(frame.num_rows)
        check_columns(list(frame.columns) if isinstance(frame, pd.DataFrame) else frame.column_names, self.names)
        clean: dict[str, Any] = {}
        bad = np.zeros((len(index), len(self.names)), dtype=bool)
        for position, column in enumerate(self.kept):
            clean[column.name], bad[:, position] = self.read_column(column, frame[column.name])
        return pd.DataFrame(clean, index=index, columns=self.names), pd.DataFrame(bad, index=index, columns=self.names)

    def read_column(self, column: Column, values: Any) -> tuple[Any, Mask]:
        """Read a Series or a chunked array of one kept column, see :mod:`pipelines.inference.recipe.columns`."""
        return read_column(
            values,
            column.kind,
            self.readers[column.name],
            self.tokens_of(column),
            formats=column.formats,
            written=column.written,
            change=column.change,
            plain=not (column.repair or column.aliases or column.truth or column.nested),
        )

    def apply_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Read one row: number float, category str, date datetime; missing and unreadable are None."""
        return self.read_row(row)[0]

    def read_row(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Read one row and name its unreadable columns; NaN and Infinity are unreadable, an absent one is missing."""
        clean: dict[str, Any] = {}
        bad: list[str] = []
        for name, read in self.readers.items():
            value = read(row.get(name))
            if value is cells.BAD:
                bad.append(name)
                value = None
            clean[name] = value
        return clean, bad

    def _reader(self, column: Column) -> cells.Reader:
        tokens = self.tokens_of(column)
        if column.kind == "number":
            parse = column.written.read if column.written else None
            return cells.number_reader(tokens, parse, column.change.cell() if column.change else None)
        if column.kind == "date":
            return cells.date_reader(column.formats, tokens)
        repair = repairer(column.repair, dict(column.aliases))
        return cells.category_reader(
            tokens,
            repair,
            refuse_controls=self.refuse_controls,
            normal_form=self.normal_form,
            truth=column.truth,
            nested=column.nested,
        )

    def to_json(self) -> str:
        """Return the one JSON text of this recipe."""
        return canonical_json(
            {
                "format": FORMAT,
                "columns": [_entry(column) for column in self.columns],
                "missing": list(self.missing),
                "missing_values": list(self.missing_values),
                "refuse_controls": self.refuse_controls,
                "normal_form": self.normal_form,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> RowRecipe:
        """Read what :meth:`to_json` gave, or format 1."""
        data = cast(dict[str, Any], json.loads(text))
        if data.get("format") not in range(1, FORMAT + 1):
            raise DataError("unknown format of a row recipe", seen=data.get("format"), expected=f"1 to {FORMAT}")
        columns = tuple(_column(item) for item in data["columns"])
        flags = (bool(data.get(name, False)) for name in ("refuse_controls", "normal_form"))
        return cls(columns, tuple(data["missing"]), tuple(data["missing_values"]), *flags)


def _entry(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "kind": column.kind}
    for name in ("formats", "missing", "repair", "present", "truth"):
        if getattr(column, name):
            entry[name] = list(getattr(column, name))
    for name in ("unit", "slip", "clip"):
        if getattr(column.change, name) is not None:
            entry[name] = list(getattr(column.change, name))
    if column.written is not None:
        entry["written"] = column.written.to_json()
    for name in ("nested", "optional"):
        if getattr(column, name):
            entry[name] = True
    if column.aliases:
        entry["aliases"] = [list(pair) for pair in column.aliases]
    return entry


def _column(item: dict[str, Any]) -> Column:
    parts = {name: tuple(item[name]) if name in item else None for name in ("unit", "slip", "clip")}
    return Column(
        item["name"],
        cast(Kind, item["kind"]),
        tuple(item.get("formats", ())),
        tuple(item.get("missing", ())),
        written_from_json(item["written"]) if "written" in item else None,
        Change(**cast(dict[str, Any], parts)),
        tuple(item.get("repair", ())),
        tuple((alias, name) for alias, name in item.get("aliases", ())),
        tuple(item.get("present", ())),
        (item["truth"][0], item["truth"][1]) if "truth" in item else None,
        bool(item.get("nested")),
        bool(item.get("optional")),
    )


@lru_cache(maxsize=256)
def _lowered(words: tuple[str, ...]) -> frozenset[bytes]:
    return frozenset(cells.lowered(form) for word in words for form in (word.strip(), cells.canonical_text(word)))


def check_columns(present: list[Any], needed: list[str]) -> None:
    """Raise one DataError that names every needed column that is absent or stands twice."""
    once = set(present)
    if len(once) == len(present) and once.issuperset(needed):
        return
    counts = pd.Series(present, dtype=object).value_counts()
    faults = [f"column {name!r} is missing" for name in needed if name not in counts.index]
    faults += [f"column {name!r} stands {counts[name]} times" for name in needed if counts.get(name, 0) > 1]
    if faults:
        raise DataError(
            "the rows do not have the columns of the model",
            where=", ".join(repr(name) for name in needed if counts.get(name, 0) != 1)[:500],
            seen=", ".join(map(str, present))[:500],
            expected="every feature column, once",
            cure="send the missing columns; where a value is not known, send null",
            faults=faults,
        )
