"""The row recipe: what turns any raw row into a clean one, for training, batch and single requests alike.

A frame's cells may be raw text, typed (Parquet) or mixed (JSON). Number columns of one type go through Arrow; every
other column is read once per *distinct* value by the very function that reads a single row's cell, so the paths
cannot drift apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipelines.artifacts import canonical_json
from pipelines.errors import DataError
from pipelines.inference import cells
from pipelines.inference.columns import Kind, read_column

FORMAT = 1
MISSING = ("", "?", "na", "n/a", "#n/a", "nan", "<na>", "null")
"""Missing in every column, compared without case after stripping. 'None' and 'unknown' may be true categories."""
MISSING_VALUES = ("none", "-", "--", ".", "nil", "missing")
"""Missing too in columns of numbers and dates, where they can mean nothing else."""


@dataclass(frozen=True)
class Column:
    """How one source column is read; ``formats`` are those of a date column."""

    name: str
    kind: Kind
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowRecipe:
    """The reading rules of every source column, in source order.

    Parameters
    ----------
    columns
        All columns of the source; ``dropped`` ones (target, key, declared) never come out.
    missing, missing_values
        Tokens that mean missing, everywhere and in number and date columns.
    """

    columns: tuple[Column, ...]
    missing: tuple[str, ...] = MISSING
    missing_values: tuple[str, ...] = MISSING_VALUES
    _readers: dict[str, cells.Reader] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.kept:
            self._readers[column.name] = self._reader(column)

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns that come out."""
        return tuple(column for column in self.columns if column.kind != "dropped")

    @property
    def names(self) -> list[str]:
        """Names of the columns that come out."""
        return [column.name for column in self.kept]

    def subset(self, names: Iterable[str]) -> RowRecipe:
        """Give the recipe of these columns only, in this recipe's order."""
        wanted = set(names)
        chosen = tuple(column for column in self.columns if column.name in wanted)
        return RowRecipe(chosen, self.missing, self.missing_values)

    def tokens(self, kind: Kind) -> frozenset[bytes]:
        """Give the lowered missing tokens of a kind of column."""
        words = self.missing if kind == "category" else (*self.missing, *self.missing_values)
        return frozenset(cells.lowered(form) for word in words for form in (word.strip(), cells.canonical_text(word)))

    def apply(self, frame: pd.DataFrame | pa.Table) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Read all rows of a frame.

        Parameters
        ----------
        frame
            Holds every kept column; others are ignored.

        Returns
        -------
        clean : DataFrame
            The kept columns: number float64, category ``str``, date datetime64[us]; missing and unreadable cells
            are null. Index and order of the rows as given.
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
        bad: dict[str, npt.NDArray[np.bool_]] = {}
        for column in self.kept:
            read, tokens = self._readers[column.name], self.tokens(column.kind)
            plain = column.kind == "date" and not column.formats
            clean[column.name], bad[column.name] = read_column(frame[column.name], column.kind, read, tokens, plain)
        return pd.DataFrame(clean, index=index, columns=self.names), pd.DataFrame(bad, index=index, columns=self.names)

    def apply_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Read one row: number float, category str, date datetime; missing and unreadable are None."""
        return self.read_row(row)[0]

    def read_row(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Read one row and name its unreadable columns; NaN and Infinity are unreadable, an absent one is missing."""
        clean: dict[str, Any] = {}
        bad: list[str] = []
        for name, read in self._readers.items():
            value = read(row.get(name))
            if value is cells.BAD:
                bad.append(name)
                value = None
            clean[name] = value
        return clean, bad

    def _reader(self, column: Column) -> cells.Reader:
        tokens = self.tokens(column.kind)
        if column.kind == "number":
            return cells.number_reader(tokens)
        if column.kind == "date":
            return cells.date_reader(column.formats, tokens)
        return cells.category_reader(tokens)

    def to_json(self) -> str:
        """Give the one JSON text of this recipe."""
        columns = [
            {"name": column.name, "kind": column.kind, **({"formats": list(column.formats)} if column.formats else {})}
            for column in self.columns
        ]
        return canonical_json(
            {
                "format": FORMAT,
                "columns": columns,
                "missing": list(self.missing),
                "missing_values": list(self.missing_values),
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> RowRecipe:
        """Read what :meth:`to_json` gave."""
        data = cast(dict[str, Any], json.loads(text))
        if data.get("format") != FORMAT:
            raise DataError("unknown format of a row recipe", seen=data.get("format"), expected=FORMAT)
        columns = tuple(
            Column(item["name"], cast(Kind, item["kind"]), tuple(item.get("formats", ()))) for item in data["columns"]
        )
        return cls(columns, tuple(data["missing"]), tuple(data["missing_values"]))


def check_columns(present: list[Any], needed: list[str]) -> None:
    """Raise one DataError that names every needed column that is absent or stands twice."""
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
