"""The row recipe: what turns any raw row into a clean one, for training, batch and single requests alike.

A frame's cells may be raw text, typed (Parquet) or mixed (JSON). Number columns of one type go through Arrow; every
other column is read once per *distinct* value by the very function that reads a single row's cell, so the paths
cannot drift apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.artifacts import canonical_json
from pipelines.errors import DataError
from pipelines.inference import cells

Kind = Literal["number", "category", "date", "dropped"]
FORMAT = 1
MISSING = ("", "?", "na", "n/a", "#n/a", "nan", "<na>", "null")
"""Missing in every column, compared without case after stripping. 'None' and 'unknown' may be true categories."""
MISSING_VALUES = ("none", "-", "--", ".", "nil", "missing")
"""Missing too in columns of numbers and dates, where they can mean nothing else."""
_PURE = ("string", "integer", "floating", "boolean", "decimal", "date", "datetime", "empty")


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
            clean[column.name], bad[column.name] = self._read(column, frame[column.name])
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

    def _read(self, column: Column, values: Any) -> tuple[Any, npt.NDArray[np.bool_]]:
        array = as_arrow(values)
        if column.kind == "number":
            if array is not None and (_is_text(array) or _is_numeric(array)):
                return read_numbers(array, self.tokens("number"))
            return _typed(column.kind, *self._by_distinct(column.name, values, array))
        if column.kind == "date" and array is not None and pa.types.is_timestamp(array.type):
            return _moments(array), np.zeros(len(array), dtype=bool)
        return _typed(column.kind, *self._by_distinct(column.name, values, array))

    def _by_distinct(self, name: str, values: Any, array: pa.Array | None) -> tuple[pa.Array | list[Any], Any]:
        read = self._readers[name]
        if array is None or not _has_distinct(array):
            items = list(values) if array is None else array.to_pylist()
            read_items = [None if _is_null(item) else read(item) for item in items]
            return _without_bad(read_items), np.array([item is cells.BAD for item in read_items], dtype=bool)
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        distinct = [None if _is_null(item) else read(item) for item in encoded.dictionary.to_pylist()]
        index = encoded.indices
        unreadable = pa.array([item is cells.BAD for item in distinct], type=pa.bool_())
        bad = unreadable.take(index).fill_null(False).to_numpy(zero_copy_only=False)
        return pa.array(_without_bad(distinct), type=_arrow_type(distinct)).take(index), bad

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


def as_arrow(values: Any) -> pa.Array | None:
    """Give a column as one Arrow array, or None when its cells are of mixed types."""
    if isinstance(values, pd.Series) and values.dtype == object and pd.api.types.infer_dtype(values) not in _PURE:
        return None  # Arrow would read 0.0 and False as one type
    if isinstance(values, pd.Series) and isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert(None)
    try:
        array = values if isinstance(values, pa.ChunkedArray) else pa.Array.from_pandas(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    return one_array(array)


def one_array(array: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Give a chunked array as one array."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def read_numbers(array: pa.Array, tokens: frozenset[bytes]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Read an Arrow array of text, integers, floats, decimals or booleans as finite numbers.

    Returns
    -------
    values : (n,) float64, NaN where missing or unreadable
    bad : (n,) bool, True where unreadable
    """
    nothing = array.is_null()
    if _is_text(array):
        text = pc.utf8_trim(array, characters=cells.WHITESPACE)
        token_set = pa.array(sorted(token.decode() for token in tokens), type=text.type)
        nothing = pc.or_(nothing, pc.is_in(pc.ascii_lower(text), value_set=token_set))
        readable = pc.fill_null(pc.match_substring_regex(text, f"^(?:{cells.NUMBER})$"), False)
        array = pc.if_else(pc.and_(readable, pc.invert(nothing)), text, pa.scalar(None, text.type))
    elif pa.types.is_decimal(array.type):
        array = array.cast(pa.string())
    elif pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = nothing.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(array.type):
        missing = missing | np.isnan(numbers)
    marks = cells.number_tokens(tokens)
    if marks:
        missing = missing | np.isin(numbers, list(marks))
    finite = np.isfinite(numbers)
    return np.where(finite & ~missing, numbers, np.nan), ~finite & ~missing


def _is_text(array: pa.Array) -> bool:
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def _is_numeric(array: pa.Array) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(test(array.type) for test in tests)


def _has_distinct(array: pa.Array) -> bool:
    kind = array.type
    return not (pa.types.is_nested(kind) or pa.types.is_null(kind) or pa.types.is_duration(kind))


def _is_null(item: Any) -> bool:
    return item is None or item is pd.NA or (isinstance(item, float | np.floating) and item != item) or item is pd.NaT


def _without_bad(items: list[Any]) -> list[Any]:
    return [None if item is cells.BAD else item for item in items]


def _arrow_type(items: list[Any]) -> pa.DataType:
    first = next((item for item in items if item is not None and item is not cells.BAD), None)
    if first is None:
        return pa.null()
    return pa.float64() if isinstance(first, float) else pa.string() if isinstance(first, str) else pa.timestamp("us")


def _typed(kind: Kind, values: pa.Array | list[Any], bad: Any) -> tuple[Any, npt.NDArray[np.bool_]]:
    target = {"number": pa.float64(), "category": pa.large_string(), "date": pa.timestamp("us")}[kind]
    array = pa.array(values, type=target) if isinstance(values, list) else values.cast(target)
    if kind == "number":
        return array.to_numpy(zero_copy_only=False), bad
    return (pd.array(array, dtype="str") if kind == "category" else _moments(array)), bad


def _moments(array: pa.Array) -> Any:
    """Give timestamps as naive UTC datetime64[us]; a zone only says how the same instant is shown."""
    return (
        array.cast(pa.timestamp("us", array.type.tz), safe=False)
        .cast(pa.int64())
        .cast(pa.timestamp("us"))
        .to_numpy(zero_copy_only=False)
    )
