"""One operation of a feature plan: named columns in, named columns out, the same for a table and for one row.

An output may have the name of an input: it replaces the input for the operations that follow. Between operations a
column has one of these forms:

========= ============================================== ==================================
kind      in a table                                     in one row
========= ============================================== ==================================
number    float64 array, NaN where missing               float, NaN where missing
code      float64 array of whole numbers, -1 missing     float, -1.0 where missing
category  dictionary-encoded Arrow array of large_string str, None where missing
date      datetime64[us] array, NaT where missing        naive UTC ``datetime``, None missing
========= ============================================== ==================================

Only numbers and codes leave a plan.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.inference.recipe.arrays import as_arrow, one_array

LARGE = 1_000
"""A longer list of an operation lies in Parquet instead of ``plan.json``."""
MISSING_CODE = -1.0

OutputKind = Literal["number", "code", "category"]
Numbers = npt.NDArray[np.float64]
Row = Mapping[str, Any]
RowFunction = Callable[[Row], Sequence[Any]]
"""Takes the values of one row by name, gives those of the outputs in their order."""


@dataclass(frozen=True)
class Output:
    """One column that an operation makes.

    Parameters
    ----------
    name
        Its name in the plan.
    kind
        ``code``: a whole number from 0, -1 for missing. ``category``: text that a later operation turns into numbers.
    cardinality
        Of a code: how many codes there are, that of unseen texts included and -1 not.
    """

    name: str
    kind: OutputKind = "number"
    cardinality: int | None = None


@dataclass(frozen=True)
class Operation(ABC):
    """What every operation has; a subclass is a frozen dataclass with a ``kind`` and registered by :func:`register`.

    Its further fields hold what was learned: numbers, texts, booleans, ``Output``, tuples of these, or Arrow tables.
    They are saved as they are: tuples of more than ``LARGE`` items and tables as Parquet, all else as JSON.
    """

    kind: ClassVar[str]
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]

    @abstractmethod
    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:
        """Return the (rows,) arrays of the outputs, in order; ``columns`` holds the inputs in the forms above."""

    @abstractmethod
    def row(self) -> RowFunction:
        """Return the function of one row: the same values as :meth:`apply` of a table with that row, bit by bit."""

    def to_json(self) -> dict[str, Any]:
        """Return all fields but those in :meth:`tables` as JSON values, and ``kind``."""
        apart = self.tables()
        entry = {field.name: _plain(getattr(self, field.name)) for field in fields(self) if field.name not in apart}
        return {"kind": self.kind, **entry, **({"parquet": sorted(apart)} if apart else {})}

    def tables(self) -> dict[str, pa.Table]:
        """Return the fields that are saved as Parquet, by name."""
        found: dict[str, pa.Table] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, pa.Table):
                found[field.name] = value
            elif isinstance(value, tuple) and len(value) > LARGE and isinstance(value[0], str | float | int):
                found[field.name] = pa.table({"value": pa.array(value)})
        return found

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> Self:
        """Read what :meth:`to_json` and :meth:`tables` gave."""
        types = {field.name: str(field.type) for field in fields(cls)}
        values = {name: _tuples(value) for name, value in entry.items() if name not in ("kind", "parquet")}
        values["outputs"] = tuple(Output(**output) for output in entry["outputs"])
        for name, table in tables.items():
            values[name] = table if types[name] == "pa.Table" else tuple(table["value"].to_pylist())
        return cls(**values)


REGISTRY: dict[str, type[Operation]] = {}
Kind = TypeVar("Kind", bound=type[Operation])


def register(cls: Kind) -> Kind:
    """Make an operation known by its ``kind``; a decorator."""
    REGISTRY[cls.kind] = cls
    return cls


def operation_from_json(entry: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> Operation:
    """Read one operation.

    Raises
    ------
    DataError
        The plan names an operation that this release does not have.
    """
    kind = str(entry.get("kind"))
    if kind not in REGISTRY:
        raise DataError(
            "a feature plan holds an operation that is not known here",
            seen=kind,
            expected=", ".join(sorted(REGISTRY)),
            cure="use the release of this program that wrote it",
        )
    return REGISTRY[kind].from_json(entry, tables)


def live(operations: Sequence[Operation], wanted: Iterable[str]) -> tuple[list[int], list[str]]:
    """Return the indices of the operations that ``wanted`` columns need, ascending, and the outside columns needed."""
    open_names = dict.fromkeys(wanted)
    indices = []
    for index in range(len(operations) - 1, -1, -1):
        made = [output.name for output in operations[index].outputs]
        if any(name in open_names for name in made):
            indices.append(index)
            for name in made:
                open_names.pop(name, None)
            open_names.update(dict.fromkeys(operations[index].inputs))
    return indices[::-1], list(open_names)


def encoded(values: Any) -> pa.DictionaryArray:
    """Return a column of texts (pandas, Arrow, or already encoded) in the form ``category``."""
    array = values if isinstance(values, pa.Array) else as_arrow(values)
    text = pa.array(values, pa.large_string(), from_pandas=True) if array is None else one_array(array)
    if isinstance(text, pa.DictionaryArray):
        if text.type == _ENCODED:
            return text
        indices, texts = text.indices.cast(pa.int32()), text.dictionary.cast(pa.large_string())
        return pa.DictionaryArray.from_arrays(indices, texts)
    return cast(pa.DictionaryArray, text.cast(pa.large_string()).dictionary_encode())


_ENCODED = pa.dictionary(pa.int32(), pa.large_string())


def by_text(values: pa.DictionaryArray, of_text: npt.NDArray[Any], of_null: float) -> Numbers:
    """Return (n,) float64: of each cell of ``values`` the number at its index in ``of_text`` (one per entry).

    ``of_text`` has shape (d,), in the order of ``values.dictionary``; missing cells give ``of_null``.
    """
    indices = values.indices
    if indices.null_count:
        indices = indices.fill_null(len(of_text))
    table = np.empty(len(of_text) + 1)
    table[:-1], table[-1] = of_text, of_null
    return np.asarray(table[indices.to_numpy(zero_copy_only=False)])


def _plain(value: Any) -> Any:
    if isinstance(value, Output):
        return {"name": value.name, "kind": value.kind, "cardinality": value.cardinality}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
