"""The feature plan: row recipe, enrichment, and the operations learned on training rows, from a row to numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import DataError
from pipelines.inference.enrichment.request import EMPTY, Enrichment
from pipelines.inference.operations import FAMILIES
from pipelines.inference.operations.base import Operation, Output, RowFunction, encoded, live, operation_from_json
from pipelines.inference.plan.plan_v1 import operations_of
from pipelines.inference.recipe.row_recipe import RowRecipe, check_columns

FORMAT = 2
FILE = "plan.json"
assert FAMILIES, "the operations register themselves when they are imported"


@dataclass(frozen=True)
class FeaturePlan:
    """Turns clean rows into an (n, p) float64 matrix, the same for a table and for one row.

    Parameters
    ----------
    recipe
        How raw columns are read.
    operations
        In the order in which they are applied. Each reads source columns and outputs of earlier ones.
    outputs
        Names of the columns that leave the plan, in order: numbers and codes.
    enrichment
        What serving adds to a raw row before the recipe.
    """

    recipe: RowRecipe
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]
    enrichment: Enrichment = EMPTY
    _kinds: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _sources: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _functions: tuple[tuple[tuple[str, ...], RowFunction], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        indices, needed = live(self.operations, self.outputs)
        kinds = {column.name: str(column.kind) for column in self.recipe.kept}
        object.__setattr__(self, "_kinds", kinds)
        object.__setattr__(self, "operations", tuple(self.operations[index] for index in indices))
        wanted = set(needed)
        object.__setattr__(self, "_sources", tuple(name for name in kinds if name in wanted))
        functions = tuple((tuple(one.name for one in o.outputs), o.row()) for o in self.operations)
        object.__setattr__(self, "_functions", functions)
        made = {output.name: output.kind for operation in self.operations for output in operation.outputs}
        faults = [f"column {name!r} comes from nowhere" for name in needed if name not in kinds]
        faults += [
            f"column {name!r} is a {kind}, neither number nor code"
            for name in self.outputs
            if (kind := made.get(name) or kinds.get(name, "number")) not in ("number", "code")
        ]
        if faults:
            raise DataError("a feature plan does not fit together", expected="inputs made before use", faults=faults)

    @property
    def features(self) -> list[str]:
        """Names of the output columns, in order."""
        return list(self.outputs)

    @property
    def sources(self) -> list[str]:
        """Names of the clean columns that are needed, in source order."""
        return list(self._sources)

    def describe(self) -> list[dict[str, Any]]:
        """Return ``{name, kind: number|code, cardinality}`` of every feature."""
        made = {output.name: output for operation in self.operations for output in operation.outputs}
        outputs = [made.get(name, Output(name)) for name in self.outputs]
        return [{"name": one.name, "kind": one.kind, "cardinality": one.cardinality} for one in outputs]

    def transform(self, clean: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the (n, p) matrix of a clean frame, which holds :attr:`sources`; n may be 0."""
        check_columns(list(clean.columns), self.sources)
        return self.matrix({name: self.form(name, clean[name]) for name in self._sources}, len(clean))

    def matrix(self, values: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        """Return the (rows, p) matrix; ``values`` as for :meth:`transform_columns`."""
        columns = self.transform_columns(values, rows)
        matrix = np.empty((rows, len(columns)), dtype=np.float64)
        for index, made in enumerate(columns):
            matrix[:, index] = made
        return matrix

    def transform_columns(self, values: Mapping[str, Any], rows: int) -> list[npt.NDArray[np.float64]]:
        """Return the (rows,) output columns; ``values`` holds :attr:`sources` in the forms of ``operations.base``."""
        columns = dict(values)
        for operation in self.operations:
            made = operation.apply(columns, rows)
            columns.update({output.name: one for output, one in zip(operation.outputs, made, strict=True)})
        return [columns[name] for name in self.outputs]

    def transform_row(self, clean: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        """Return the (p,) vector of one clean row, equal to :meth:`transform` of a frame with that row."""
        values = {
            name: np.nan if clean[name] is None and self._kinds[name] == "number" else clean[name]
            for name in self._sources
        }
        for names, function in self._functions:
            values.update(zip(names, function(values), strict=True))
        return np.array([values[name] for name in self.outputs], dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write ``recipe.json``, ``plan.json``, large lists and tables as Parquet, and ``enrichment/`` if any."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(directory / "recipe.json", self.recipe.to_json())
        entries = [operation.to_json() for operation in self.operations]
        content = {"format": FORMAT, "operations": entries, "outputs": list(self.outputs)}
        write_atomic(directory / FILE, canonical_json(content))
        for index, operation in enumerate(self.operations):
            for name, table in operation.tables().items():
                pq.write_table(table, _file(directory, index, name), compression="zstd", write_page_checksum=True)
        if self.enrichment:
            self.enrichment.save(directory / "enrichment")

    @classmethod
    def load(cls, directory: Path) -> FeaturePlan:
        """Read what :meth:`save` wrote, in this release's format or the one before.

        Raises
        ------
        DataError
            The format or an operation is unknown, or a file is gone or damaged.
        """
        try:
            return cls._read(directory)
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                "a feature plan cannot be read",
                where=str(directory),
                seen=f"{type(error).__name__}: {str(error)[:200]}",
                expected="the files that the features stage wrote",
                cure="restore the folder from a backup, or run the night again",
            ) from None

    @classmethod
    def _read(cls, directory: Path) -> FeaturePlan:
        recipe = RowRecipe.from_json((directory / "recipe.json").read_bytes())
        data = cast(dict[str, Any], json.loads((directory / FILE).read_bytes()))
        if data.get("format") == 1:
            return cls(recipe, *operations_of(data, directory))
        if data.get("format") != FORMAT:
            raise DataError("unknown format of a feature plan", seen=data.get("format"), expected=FORMAT)
        operations = tuple(
            operation_from_json(entry, {name: _table(directory, index, name) for name in entry.get("parquet", ())})
            for index, entry in enumerate(data["operations"])
        )
        return cls(recipe, operations, tuple(data["outputs"]), Enrichment.load(directory / "enrichment"))

    def form(self, name: str, values: pd.Series[Any]) -> Any:
        """Return a clean pandas column in the form of its kind, see ``operations.base``."""
        if self._kinds[name] == "category":
            return encoded(values)
        dtype: Any = np.float64 if self._kinds[name] == "number" else "datetime64[us]"
        return values.to_numpy(dtype=dtype)


def _file(directory: Path, index: int, name: str) -> Path:
    return directory / f"operation-{index:04d}-{name}.parquet"


def _table(directory: Path, index: int, name: str) -> pa.Table:
    return pq.read_table(_file(directory, index, name), page_checksum_verification=True)
