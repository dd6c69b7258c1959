"""The first look at all rows: what the cells of text columns look like, counted, and which rows resemble each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning.parts import Parts
from pipelines.inference.cells import WHITESPACE
from pipelines.inference.columns import all_finite, one_array, read_numbers
from pipelines.keyhash import key_hash

ENOUGH = 20_000
"""So many distinct texts decide how dates are written, unless day and month could still be swapped: then all do."""
SHOWN = 5
_DATED = (
    "^(?:[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{2,4}|[0-9]{1,2}[- ][A-Za-z]{3,9}[- ][0-9]{4}"
    "|[A-Za-z]{3,9} [0-9]{1,2}, [0-9]{4})"
)
"""How every text begins that one of :data:`pipelines.inference.dates.GUESSES` reads."""


@dataclass(frozen=True)
class Cells:
    """The non-missing cells of one text column, counted.

    Parameters
    ----------
    numbers, others
        Cells that read as finite numbers, and cells that do not.
    dated
        Cells among the others that begin like a date.
    texts
        Distinct dated texts and the count of each; of more than ``ENOUGH`` those with the smallest hash.
    whole
        Whether ``texts`` are all of them.
    shown
        Some of the other texts, the first in alphabetical order.
    """

    numbers: int = 0
    others: int = 0
    dated: int = 0
    texts: Mapping[str, int] | None = None
    whole: bool = True
    shown: tuple[str, ...] = ()


@dataclass
class _Part:
    numbers: int
    others: int
    dated: int
    texts: pa.Table
    whole: bool
    shown: tuple[str, ...]


def count_cells(parts: Parts, columns: Mapping[str, frozenset[bytes]], unsealed: bool) -> dict[str, Cells]:
    """Count the cells of text columns.

    Parameters
    ----------
    columns
        Name of each column, and the lowered missing tokens of its numbers and dates.
    unsealed
        Only unsealed rows count.
    """
    if not columns:
        return {}

    def one(place: int) -> dict[str, _Part]:
        table = unsealed_rows(parts.read(place, [*columns, *(["_sealed"] if unsealed else [])]), unsealed)
        return {name: _look(_texts(table[name]), tokens) for name, tokens in columns.items()}

    seen = parts.each(one)
    return {name: _merged([part[name] for part in seen]) for name in columns}


def unsealed_rows(table: pa.Table, unsealed: bool) -> pa.Table:
    """Give the unsealed rows of a part that holds ``_sealed``, or all if that does not matter."""
    return table.filter(pc.invert(table["_sealed"])) if unsealed else table


def is_text(kind: pa.DataType) -> bool:
    """Tell whether cells of an Arrow type are texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def texts_of(column: pa.ChunkedArray) -> pa.Array:
    """Give the non-null cells of a text column as one array of stripped texts."""
    return pc.utf8_trim(_texts(column).drop_null(), characters=WHITESPACE)


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return one_array(column).cast(pa.large_string())


def _look(array: pa.Array, tokens: frozenset[bytes]) -> _Part:
    nothing = pa.table({"text": pa.array([], pa.large_string()), "count": pa.array([], pa.int64())})
    numbers = all_finite(array)
    if numbers is not None:
        values, _ = read_numbers(numbers, tokens)
        return _Part(int(np.isfinite(values).sum()), 0, 0, nothing, True, ())
    pairs = pc.value_counts(array.drop_null())
    distinct, counts = pairs.field(0), pairs.field(1).to_numpy()
    values, bad = read_numbers(distinct, tokens)
    others = pc.utf8_trim(distinct.filter(pa.array(bad)), characters=WHITESPACE)
    dated = pc.match_substring_regex(others, _DATED).to_numpy(zero_copy_only=False)
    texts = pa.table({"text": others.filter(pa.array(dated)), "count": counts[bad][dated]})
    texts, whole = _fewest(_summed(texts))
    shown = tuple(text[:80] for text in others.take(pc.bottom_k_unstable(others, k=SHOWN)).to_pylist())
    number_count = int(counts[np.isfinite(values)].sum())
    return _Part(number_count, int(counts[bad].sum()), int(counts[bad][dated].sum()), texts, whole, shown)


def _summed(texts: pa.Table) -> pa.Table:
    if not texts.num_rows:
        return texts
    summed = texts.group_by("text").aggregate([("count", "sum")])
    return pa.table({"text": summed["text"], "count": summed["count_sum"]})


def _fewest(texts: pa.Table) -> tuple[pa.Table, bool]:
    """Keep the texts with the smallest hash, whatever the order in which they come; and whether these are all."""
    if texts.num_rows <= ENOUGH:
        return texts, True
    hashes = key_hash(texts["text"], 0)
    return texts.take(pa.array(np.sort(np.argpartition(hashes, ENOUGH)[:ENOUGH]))), False


def _merged(seen: Sequence[_Part]) -> Cells:
    texts, whole = _fewest(_summed(pa.concat_tables([part.texts for part in seen])))
    texts = texts.sort_by("text")
    return Cells(
        numbers=sum(part.numbers for part in seen),
        others=sum(part.others for part in seen),
        dated=sum(part.dated for part in seen),
        texts=dict(zip(texts["text"].to_pylist(), texts["count"].to_pylist(), strict=True)),
        whole=whole and all(part.whole for part in seen),
        shown=tuple(sorted({text for part in seen for text in part.shown})[:SHOWN]),
    )
