"""Learning the row recipe from unsealed rows: of which kind each column is, and how its dates are written."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning import scan
from pipelines.cleaning.declared import check_kinds, check_names, column_of, source_columns
from pipelines.cleaning.parts import Parts, TableParts
from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import DataError
from pipelines.inference import dates
from pipelines.inference.columns import Kind
from pipelines.inference.recipe import MISSING, MISSING_VALUES, Column, RowRecipe
from pipelines.spec import ModelSpec


def learn(
    rows: Parts | pa.Table, model: ModelSpec, spec: CleanSpec, hidden: Collection[str] = ()
) -> tuple[RowRecipe, list[str]]:
    """Learn how every source column is read.

    Parameters
    ----------
    rows
        Raw rows with the stamps. Sealed ones are left out, unless all are.
    hidden
        Columns not known at serving.

    Returns
    -------
    recipe : RowRecipe
        Target, key, hidden and dropped columns are in it as ``dropped``; the time column is a date.
    notes : list of str
        What was decided against the look of the data, one line each.
    """
    parts = TableParts(rows) if isinstance(rows, pa.Table) else rows
    check_names(parts.schema, model, spec)
    unsealed = "_sealed" in parts.schema.names and not parts.flags("_sealed").all()
    return _Learner(parts, model, spec, unsealed).learn({*hidden, *model.drop})


class _Learner:
    def __init__(self, parts: Parts, model: ModelSpec, spec: CleanSpec, unsealed: bool) -> None:
        self.parts, self.model, self.spec, self.unsealed = parts, model, spec, unsealed
        self.bare = RowRecipe((), tuple(dict.fromkeys((*MISSING, *spec.missing))), MISSING_VALUES)
        self.notes: list[str] = []

    def learn(self, dropped: set[str]) -> tuple[RowRecipe, list[str]]:
        names = source_columns(self.parts.schema)
        dropped |= {self.model.target, *(name for name in self.model.key if name != self.model.time)}
        kinds = {name: "dropped" if name in dropped else self._declared(name) for name in names}
        open_texts = {
            name: self.bare.tokens("date", column_of(name, "date", self.spec).missing)
            for name, kind in kinds.items()
            if kind is None and scan.is_text(self.parts.schema.field(name).type)
        }
        cells = scan.count_cells(self.parts, open_texts, self.unsealed)
        columns = []
        for name in names:
            kind = kinds[name]
            formats = self.spec.formats(name) if kind == "date" else ()
            if kind is None:
                kind, formats = self._text(name, cells[name]) if name in cells else self._typed(name)
            columns.append(column_of(name, kind, self.spec, formats))
        recipe = RowRecipe(tuple(columns), self.bare.missing, self.bare.missing_values)
        check_kinds(recipe, self.model, self.spec)
        return recipe, self.notes

    def _declared(self, name: str) -> Kind | None:
        """Give the kind that the spec leaves no choice about; None: to be learned."""
        declared = self.spec.kinds.get(name)
        formats = self.spec.formats(name)
        dates.reader(formats)
        if declared in ("number", "category", "dropped"):
            return declared
        if formats:
            return "date"
        spec = self.spec
        return "number" if name in spec.numbers or name in spec.units or name in spec.outliers else None

    def _typed(self, name: str) -> tuple[Kind, tuple[str, ...]]:
        kind = self.parts.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if name == self.model.time or self.spec.kinds.get(name) == "date":
            return "date", ()
        if pa.types.is_boolean(kind) or pa.types.is_null(kind):
            return "category", ()
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return "number", ()
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return "date", ()
        self.notes.append(f"column {name!r} left out: values of type {kind} are no number, text or date")
        return "dropped", ()

    def _text(self, name: str, cells: scan.Cells) -> tuple[Kind, tuple[str, ...]]:
        share = self.spec.numeric_share
        is_date = self.spec.kinds.get(name) == "date" or name == self.model.time
        if not is_date and cells.numbers and cells.numbers >= share * (cells.numbers + cells.others):
            return "number", ()
        found = self._formats(name, cells, 0.0 if is_date else share)
        if len(found) == 1:
            return "date", () if found == [dates.ISO] else tuple(found)
        if is_date:
            raise DataError(
                f"cannot tell how the dates of column {name!r} are written",
                where=name,
                seen=", ".join(map(repr, cells.shown)),
                expected=f"one of {', '.join(found)}" if found else "a known date format",
                cure=f"write clean.dates={{{name!r}: FORMAT}} at the top of the DAG file",
            )
        if found:
            reading = " and ".join(found)
            self.notes.append(f"column {name!r} taken as category: its dates read as {reading}; declare clean.dates")
        return "category", ()

    def _formats(self, name: str, cells: scan.Cells, share: float) -> list[str]:
        """Give the formats that read at least ``share`` of the cells; several only if they read differently."""
        needed = share * (cells.numbers + cells.others) / max(cells.dated, 1)
        if not cells.texts or needed > 1:
            return []
        found = dates.guess(cells.texts, needed)
        if len(found) > 1:
            found = self._differing(name, found)
        if len(found) > 1 and name == self.model.time and "_time" in self.parts.schema.names:
            return [max(found, key=lambda text: self._agreement(name, text))]
        return found

    def _differing(self, name: str, found: list[str]) -> list[str]:
        """Take all texts of the column: of the formats that miss fewest, one of each that reads differently."""

        def one(place: int) -> tuple[list[int], list[bytes]]:
            columns = [name, *(["_sealed"] if self.unsealed else [])]
            table = scan.unsealed_rows(self.parts.read(place, columns), self.unsealed)
            pairs = pc.value_counts(scan.texts_of(table[name]))
            texts, counts = pairs.field(0).to_pylist(), pairs.field(1).to_pylist()
            readings = [[read(text) for text in texts] for read in (dates.reader((name,)) for name in found)]
            missed = [sum(n for n, moment in zip(counts, read, strict=True) if moment is None) for read in readings]
            return missed, [hashlib.blake2b(repr(read).encode()).digest() for read in readings]

        seen = self.parts.each(one)
        missed = np.sum([part[0] for part in seen], axis=0)
        readings = [b"".join(part[1][place] for part in seen) for place in range(len(found))]
        best = {readings[place]: found[place] for place in reversed(range(len(found))) if missed[place] == missed.min()}
        return [name for name in found if name in best.values()]

    def _agreement(self, name: str, text: str) -> int:
        """Count the cells that a format reads as ingestion did."""
        recipe = RowRecipe((Column(name, "date", (text,)),), self.bare.missing, self.bare.missing_values)

        def one(place: int) -> int:
            table = self.parts.read(place, [name, "_time"])
            clean, _ = recipe.apply(table.select([name]))
            moments = table["_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.timestamp("us"))
            return int((clean[name] == pd.Series(moments.to_pandas().to_numpy())).sum())

        return sum(self.parts.each(one))
