"""The feature plan: the row recipe and what was learned on training rows about turning a clean row into numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import DataError
from pipelines.inference.columns import as_arrow
from pipelines.inference.recipe import RowRecipe, check_columns

FORMAT = 1
LARGE = 1_000
"""A longer category list lies in ``categories.parquet`` instead of ``plan.json``."""
MISSING_CODE = -1.0
DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Part = Literal["year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days"]
PARTS: tuple[Part, ...] = ("year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days")


@dataclass(frozen=True)
class Feature:
    """One output column.

    Parameters
    ----------
    name, source
        The feature, and the clean column it is made from.
    kind
        ``number``: the value itself. ``code``: the place of the text in ``categories``; ``len(categories)`` stands
        for every other text, -1 for missing. ``date``: one calendar ``part`` as a number.
    origin
        Of ``elapsed_days``: microseconds since 1970 of the moment counted from.
    """

    name: str
    source: str
    kind: Literal["number", "code", "date"]
    categories: tuple[str, ...] = ()
    part: Part | None = None
    origin: int = 0

    @property
    def cardinality(self) -> int | None:
        """Number of codes, the one for other texts included; None for numbers."""
        return len(self.categories) + 1 if self.kind == "code" else None


@dataclass(frozen=True)
class FeaturePlan:
    """Turns clean rows into an (n, p) float64 matrix, the same for a frame and for one row."""

    recipe: RowRecipe
    columns: tuple[Feature, ...]
    _cells: tuple[tuple[str, Callable[[Any], float]], ...] = field(init=False, repr=False, compare=False)
    _lists: tuple[pa.Array | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cells", tuple((f.source, _cell_function(f)) for f in self.columns))
        lists = tuple(pa.array(f.categories, pa.large_string()) if f.kind == "code" else None for f in self.columns)
        object.__setattr__(self, "_lists", lists)

    @property
    def features(self) -> list[str]:
        """Names of the output columns, in order."""
        return [feature.name for feature in self.columns]

    @property
    def sources(self) -> list[str]:
        """Names of the source columns that are needed, in source order."""
        used = {feature.source for feature in self.columns}
        return [name for name in self.recipe.names if name in used]

    def describe(self) -> list[dict[str, Any]]:
        """Give ``{name, kind: number|code, cardinality}`` of every feature."""
        return [
            {"name": f.name, "kind": "code" if f.kind == "code" else "number", "cardinality": f.cardinality}
            for f in self.columns
        ]

    def transform(self, clean: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Give the (n, p) matrix of a clean frame, which holds :attr:`sources`; n may be 0."""
        check_columns(list(clean.columns), self.sources)
        matrix = np.empty((len(clean), len(self.columns)), dtype=np.float64)
        for place, (feature, known) in enumerate(zip(self.columns, self._lists, strict=True)):
            matrix[:, place] = _column(feature, known, clean[feature.source])
        return matrix

    def transform_row(self, clean: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        """Give the (p,) vector of one clean row, equal to :meth:`transform` of a frame with that row."""
        return np.array([function(clean[source]) for source, function in self._cells], dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write ``recipe.json``, ``plan.json`` and, where a category list is long, ``categories.parquet``."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        long = {feature.name for feature in self.columns if len(feature.categories) > LARGE}
        write_atomic(directory / "recipe.json", self.recipe.to_json())
        entries = [_entry(feature, feature.name in long) for feature in self.columns]
        write_atomic(directory / "plan.json", canonical_json({"format": FORMAT, "features": entries}))
        if long:
            rows = [(f.name, text) for f in self.columns if f.name in long for text in f.categories]
            table = pa.table({"feature": [name for name, _ in rows], "category": [text for _, text in rows]})
            pq.write_table(table, directory / "categories.parquet", compression="zstd", write_page_checksum=True)

    @classmethod
    def load(cls, directory: Path) -> FeaturePlan:
        """Read what :meth:`save` wrote."""
        data = cast(dict[str, Any], json.loads((directory / "plan.json").read_bytes()))
        if data.get("format") != FORMAT:
            raise DataError("unknown format of a feature plan", seen=data.get("format"), expected=FORMAT)
        long: dict[str, list[str]] = {}
        if any(entry.get("categories") == "parquet" for entry in data["features"]):
            table = pq.read_table(directory / "categories.parquet", page_checksum_verification=True)
            for name, text in zip(table["feature"].to_pylist(), table["category"].to_pylist(), strict=True):
                long.setdefault(name, []).append(text)
        features = []
        for entry in data["features"]:
            categories = entry.pop("categories", ())
            chosen = long[entry["name"]] if categories == "parquet" else categories
            features.append(Feature(**entry, categories=tuple(chosen)))
        return cls(RowRecipe.from_json((directory / "recipe.json").read_bytes()), tuple(features))


def _entry(feature: Feature, is_long: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": feature.name, "source": feature.source, "kind": feature.kind}
    if feature.kind == "code":
        entry["categories"] = "parquet" if is_long else list(feature.categories)
    if feature.kind == "date":
        entry.update(part=feature.part, origin=feature.origin)
    return entry


def _column(feature: Feature, known: pa.Array | None, values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    if feature.kind == "number":
        return np.array(values, dtype=np.float64)
    if known is not None:
        array = as_arrow(values)
        text = pa.array(values, pa.large_string(), from_pandas=True) if array is None else array.cast(pa.large_string())
        codes = pc.index_in(text, value_set=known).fill_null(len(known)).to_numpy(zero_copy_only=False)
        return np.where(text.is_null().to_numpy(zero_copy_only=False), MISSING_CODE, codes.astype(np.float64))
    moments = values.to_numpy(dtype="datetime64[us]")
    parts = calendar(moments, feature.part or "year", feature.origin)
    return np.where(np.isnat(moments), np.nan, parts)


def calendar(moments: npt.NDArray[np.datetime64], part: Part, origin: int) -> npt.NDArray[np.float64]:
    """Give one calendar part of datetime64[us] values; not meaningful where they are NaT."""
    day, month, year = (moments.astype(f"datetime64[{unit}]") for unit in "DMY")
    whole: npt.NDArray[Any]
    if part == "year":
        whole = year.astype(np.int64) + 1970
    elif part == "month":
        whole = month.astype(np.int64) % 12 + 1
    elif part in ("day", "day_of_year"):
        first = month if part == "day" else year
        whole = (day - first.astype("datetime64[D]")).astype(np.int64) + 1
    elif part == "weekday":
        whole = (day.astype(np.int64) + 3) % 7
    elif part == "hour":
        whole = (moments - day).astype(np.int64) // 3_600_000_000
    else:
        whole = (moments.astype(np.int64) - origin) / DAY_US
    return whole.astype(np.float64)


def _cell_function(feature: Feature) -> Callable[[Any], float]:
    if feature.kind == "number":
        return lambda value: np.nan if value is None else value
    if feature.kind == "code":
        codes = {text: float(code) for code, text in enumerate(feature.categories)}
        other = float(len(codes))
        return lambda value: MISSING_CODE if value is None else codes.get(value, other)
    part, origin = _DATE_CELLS[feature.part or "year"], feature.origin
    return lambda value: np.nan if value is None else part(value, origin)


def microseconds(moment: datetime) -> int:
    """Give the microseconds since 1970 of a naive UTC moment."""
    gone = moment.replace(tzinfo=UTC) - _EPOCH
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


_DATE_CELLS: dict[Part, Callable[[datetime, int], float]] = {
    "year": lambda moment, _: float(moment.year),
    "month": lambda moment, _: float(moment.month),
    "day": lambda moment, _: float(moment.day),
    "weekday": lambda moment, _: float(moment.weekday()),
    "day_of_year": lambda moment, _: float(moment.timetuple().tm_yday),
    "hour": lambda moment, _: float(moment.hour),
    "elapsed_days": lambda moment, origin: float(microseconds(moment) - origin) / DAY_US,
}
