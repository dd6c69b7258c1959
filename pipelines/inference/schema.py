"""The serve schema: what a caller sends to one version of a model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import pandas as pd

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import DataError
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.cells import cell_text, decimal_text, nested_text, span_seconds
from pipelines.inference.recipe.columns import Kind
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.spec import ModelSpec

FORMAT = 1
FILE = "schema.json"


@dataclass(frozen=True)
class RequestColumn:
    """One column of a request.

    Parameters
    ----------
    formats
        Of a date; ISO 8601 is always read too.
    optional
        A row may lack the column; it is missing then.
    low, high
        Of a number: the lowest and the highest of the training rows.
    levels
        Of a category: all that the training rows had; None where they are too many.
    """

    name: str
    kind: Kind
    formats: tuple[str, ...] = ()
    optional: bool = False
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ServeSchema:
    """What a request row holds.

    Parameters
    ----------
    columns
        The columns that every row must have (null where unknown) unless they are optional, in source order; others are
        ignored.
    missing, missing_values
        Texts read as missing: in every column, and in number and date columns.
    key, time, target
        Names in the source; a key may be sent and is handed back in batch output.
    source_columns
        Every column of the source in order, for files without a header.
    example
        One request row.
    private
        What the prediction log holds of a column: ``hash`` or ``drop``; empty for most models.
    lookups
        Tables that the version carries: ``{name, on, columns, as_of, kind, rows}``; ``as_of`` is the moment that
        their content was known at.
    """

    model: str
    task: str
    target: str
    key: tuple[str, ...]
    time: str | None
    columns: tuple[RequestColumn, ...]
    source_columns: tuple[str, ...]
    missing: tuple[str, ...]
    missing_values: tuple[str, ...]
    example: dict[str, Any]
    lookups: tuple[dict[str, Any], ...] = ()
    private: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the columns that every row must have."""
        return [column.name for column in self.columns]

    @classmethod
    def build(
        cls,
        model: ModelSpec,
        plan: FeaturePlan,
        examples: pd.DataFrame,
        profile: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ServeSchema:
        """Derive the schema from the plan; the example is the fullest of the raw ``examples``.

        A column that serving adds is replaced by what it is made from: keys of look-ups, inputs of computed columns.
        ``profile`` describes the clean training rows.
        """
        enrichment = plan.enrichment.subset(plan.sources)
        known = {column.name: column for column in plan.recipe.kept}
        read_as = enrichment.reads
        columns = tuple(
            _request_column(known[name], (profile or {}).get(name, {}))
            if name in known
            else RequestColumn(name, read_as.get(name, "category"))
            for name in _in_source_order(enrichment.requested(plan.sources), plan.recipe)
        )
        names = [column.name for column in columns]
        example: dict[str, Any] = {}
        if len(examples):
            clean, _ = plan.recipe.subset(plan.sources).apply(enrichment.apply(examples))
            fullest = int(np.argmin(clean.isna().sum(axis=1).to_numpy()))
            example = request_rows(examples.iloc[[fullest]], names)[0]
        recipe = plan.recipe
        return cls(
            model=model.name,
            task=model.task,
            target=model.target,
            key=model.key,
            time=model.time,
            columns=columns,
            source_columns=tuple(column.name for column in recipe.columns if column.name not in plan.enrichment.made),
            missing=recipe.missing,
            missing_values=recipe.missing_values,
            example=example,
            lookups=tuple(enrichment.describe()),
            private={name: str(rule) for name, rule in sorted(model.private.items()) if name in (*names, *model.key)},
        )

    def save(self, directory: Path) -> None:
        """Write ``schema.json``."""
        content = {"format": FORMAT, **asdict(self)}
        content["columns"] = [
            {name: value for name, value in column.items() if value is not None and value is not False}
            for column in content["columns"]
        ]
        for name in ("lookups", "private"):
            if not content[name]:
                del content[name]
        write_atomic(directory / FILE, canonical_json(content))

    @classmethod
    def load(cls, directory: Path) -> ServeSchema:
        """Read what :meth:`save` wrote."""
        data = cast(dict[str, Any], json.loads((directory / FILE).read_bytes()))
        if data.pop("format", None) != FORMAT:
            raise DataError("unknown format of a serve schema", where=str(directory / FILE), expected=FORMAT)
        columns = tuple(
            RequestColumn(
                c["name"],
                c["kind"],
                tuple(c["formats"]),
                bool(c.get("optional")),
                c.get("low"),
                c.get("high"),
                None if c.get("levels") is None else tuple(c["levels"]),
            )
            for c in data.pop("columns")
        )
        for name in ("key", "source_columns", "missing", "missing_values"):
            data[name] = tuple(data[name])
        return cls(columns=columns, lookups=tuple(data.pop("lookups", ())), **data)


def _request_column(column: Column, described: Mapping[str, Any]) -> RequestColumn:
    quantiles = described.get("quantiles", {}) if column.kind == "number" else {}
    levels = described.get("levels") if column.kind == "category" else None
    return RequestColumn(
        column.name,
        column.kind,
        column.formats,
        column.optional,
        quantiles.get("0.0"),
        quantiles.get("1.0"),
        None if levels is None else tuple(levels),
    )


def _in_source_order(names: list[str], recipe: RowRecipe) -> list[str]:
    position = {column.name: number for number, column in enumerate(recipe.columns)}
    return sorted(names, key=lambda name: position.get(name, len(position)))


def request_rows(frame: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Return raw rows as strict JSON objects: null for every null, NaN and infinity; ISO text for dates."""
    columns = [[json_cell(value) for value in frame[name]] for name in names]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def json_cell(value: Any) -> Any:
    """Return a raw cell as a JSON value that reads back as the same clean cell."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        text = decimal_text(value)
        if not isinstance(text, str):
            return None
        if text.lstrip("-").isdigit():
            return int(text)
        return float(text) if cell_text(float(text)) == text else text  # a text where a float lacks the digits
    if isinstance(value, timedelta | time):
        value = span_seconds(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, UUID | list | dict | np.ndarray):
        text = nested_text(value)
        return text if isinstance(text, str) else None
    return value if isinstance(value, str | int) else None
