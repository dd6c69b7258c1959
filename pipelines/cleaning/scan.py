"""Scans all rows once and counts what the cells of text columns look like."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from unicodedata import is_normalized

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning.parts import Parts
from pipelines.inference.recipe import cells
from pipelines.inference.recipe.arrays import one_array
from pipelines.inference.recipe.cells import WHITESPACE
from pipelines.inference.recipe.columns import all_finite
from pipelines.inference.recipe.dates import CLOCK_TAIL
from pipelines.inference.recipe.number_columns import shapes_of
from pipelines.inference.recipe.number_parsing import FALSE, TRUE
from pipelines.row_hash import key_hash

ENOUGH = 20_000
"""Distinct words and days of a column that are kept; if there are more, those with the smallest hashes."""
SHOWN = 5
_DATED = (
    "^(?:[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{2,4}|[0-9]{4}-[0-9]{2}$"
    "|[0-9]{1,4}[-/. ]{0,2}[A-Za-z]{3,9}[-/. ]{0,2}[0-9]{2,4}|[A-Za-z]{3,9},? [0-9]{1,2},? [0-9]{2,4}"
    "|[A-Za-z]{3},? [0-9A-Za-z]{2,9}[ ,]|[A-Za-z]{3,9}-[0-9]{1,2}-[0-9]{4}|[0-9]{8}T[0-9])"
)
"""How every text begins that a format of :data:`pipelines.inference.recipe.date_columns.GUESSES` reads."""
_BINARY = "^(?:[01](?:\\.0)?)$"
_NESTED = r"^(?:\[.*\]|\{.*\})$"


@dataclass(frozen=True)
class Cells:
    """The cell counts of one text column over all scanned rows.

    Parameters
    ----------
    given
        Cells that are neither null nor missing.
    empty, missing
        Nulls and empty texts; and further missing tokens, as they are written, with the count of each.
    numbers
        Cells that read as plain finite numbers without a leading zero, where no shapes were taken.
    shapes
        Shape (see :func:`pipelines.inference.recipe.number_columns.shapes_of`) and count of cells that hold a digit.
    words
        Text and count of the cells without a digit.
    binary
        Cells that are 1 or 0.
    days
        Distinct texts that begin like a date, without a time of day behind it, and the count of each.
    bare
        Distinct texts of digits, of columns that are known to hold moments.
    whole
        Whether ``days``, ``bare`` and ``words`` are all there are.
    distinct
        Number of distinct texts, at least.
    nested
        Cells that are JSON lists or objects.
    odd_form
        Cells that are not in Unicode's normal form C.
    shown
        Some of the texts.
    """

    given: int = 0
    empty: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    numbers: int = 0
    shapes: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[str, int] = field(default_factory=dict)
    binary: int = 0
    days: Mapping[str, int] = field(default_factory=dict)
    bare: Mapping[str, int] = field(default_factory=dict)
    whole: bool = True
    distinct: int = 0
    nested: int = 0
    odd_form: int = 0
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What to look for in a column: lower-case missing tokens, and whether it is known to hold timestamps."""

    tokens: frozenset[bytes]
    moments: bool = False


def count_cells(parts: Parts, columns: Mapping[str, Look], unsealed: bool) -> dict[str, Cells]:
    """Count the cells of columns, as texts.

    Parameters
    ----------
    unsealed
        Only unsealed rows count.
    """
    if not columns:
        return {}

    def one(index: int) -> dict[str, Cells]:
        table = unsealed_rows(parts.read(index, [*columns, *(["_sealed"] if unsealed else [])]), unsealed)
        return {name: look(texts(table[name]), wanted) for name, wanted in columns.items()}

    seen = parts.each(one)
    return {name: merged([part[name] for part in seen]) for name in columns}


def unsealed_rows(table: pa.Table, unsealed: bool) -> pa.Table:
    """Return the unsealed rows of a part with ``_sealed``; all rows if ``unsealed`` is false."""
    return table.filter(pc.invert(table["_sealed"])) if unsealed else table


def is_text(kind: pa.DataType) -> bool:
    """Tell whether cells of an Arrow type are texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def texts(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array of texts."""
    array = one_array(column)
    if pa.types.is_floating(array.type):
        whole = pc.equal(pc.floor(array), array)
        digits = pc.if_else(whole, array, pa.scalar(0, array.type)).cast(pa.int64(), safe=False).cast(pa.large_string())
        return pc.if_else(whole, digits, array.cast(pa.large_string()))
    return array.cast(pa.large_string())


def look(array: pa.Array, wanted: Look) -> Cells:
    """Count the cells of one array of texts."""
    rows, nulls = len(array), array.null_count
    if not wanted.moments and (plain := all_finite(array)) is not None:
        zeros = pc.match_substring_regex(array, "^[ \t]*[+-]?0[0-9]")
        if not pc.any(zeros).as_py():
            values = plain.drop_null().to_numpy(zero_copy_only=False)
            marks = np.isin(values, list(cells.number_tokens(wanted.tokens)))
            values = values[~marks]
            binary = int(((values == 0) | (values == 1)).sum())
            distinct = len(np.unique(values[:ENOUGH]))
            return Cells(len(values), nulls, numbers=len(values), binary=binary, distinct=distinct)
    pairs = pc.value_counts(array.drop_null())
    distinct, counts = pairs.field(0), pairs.field(1)
    text = pc.utf8_trim(distinct, characters=WHITESPACE)
    empty = nulls + _sum(counts, pc.equal(text, ""))
    lowered = pc.ascii_lower(text)
    tokens = pa.array(sorted(token.decode() for token in wanted.tokens if token), pa.large_string())
    gone = pc.and_not(pc.is_in(lowered, value_set=tokens), pc.equal(text, ""))
    missing = Counter(dict(zip(text.filter(gone).to_pylist(), counts.filter(gone).to_pylist(), strict=True)))
    kept = pc.invert(pc.or_(gone, pc.equal(text, "")))
    text, counts = text.filter(kept), counts.filter(kept)
    digits = pc.match_substring_regex(text, "[0-9]")
    numeric, weights = text.filter(digits), counts.filter(digits)
    dated = pc.match_substring_regex(numeric, _DATED)
    days, whole_days = _fewest(
        _summed(pc.replace_substring_regex(numeric.filter(dated), CLOCK_TAIL, ""), weights.filter(dated))
    )
    bare, whole_bare = pa.table({"text": text.slice(0, 0), "count": counts.slice(0, 0)}), True
    if wanted.moments:
        digits_only = pc.match_substring_regex(numeric, r"^-?[0-9]+(?:\.[0-9]*)?$")
        bare, whole_bare = _fewest(_summed(numeric.filter(digits_only), weights.filter(digits_only)))
    others = pc.invert(digits)
    words, whole_words = _fewest(_summed(text.filter(others), counts.filter(others)))
    odd = pc.invert(pc.string_is_ascii(text))
    odd_form = 0
    if pc.any(odd).as_py():
        # Arrow's utf8_normalize decomposes whatever form it is asked for
        other = pa.array([not is_normalized("NFC", item) for item in text.filter(odd).to_pylist()], pa.bool_())
        odd_form = _sum(counts.filter(odd), other)
    return (
        Cells(
            given=_sum(counts),
            empty=empty,
            missing=missing,
            shapes=_as_dict(_largest(_summed(shapes_of(numeric), weights))),
            words=_as_dict(words),
            binary=_sum(weights, pc.match_substring_regex(numeric, _BINARY)),
            days=_as_dict(days),
            bare=_as_dict(bare),
            whole=whole_days and whole_bare and whole_words,
            distinct=len(text),
            nested=_sum(counts, pc.match_substring_regex(text, _NESTED)),
            odd_form=odd_form,
            shown=tuple(item[:80] for item in text.take(pc.bottom_k_unstable(text, k=SHOWN)).to_pylist()),
        )
        if rows
        else Cells()
    )


def merged(seen: Sequence[Cells]) -> Cells:
    """Add up the counts of several parts."""
    plain = sum(part.numbers for part in seen)
    shapes = _added([part.shapes for part in seen])
    if plain and shapes:  # a part of plain numbers alone has the commonest shape of all
        shapes["9"] = shapes.get("9", 0) + plain
        plain = 0
    words, days, bare = (_most(_added([getattr(part, name) for part in seen])) for name in ("words", "days", "bare"))
    return Cells(
        given=sum(part.given for part in seen),
        empty=sum(part.empty for part in seen),
        missing=_added([part.missing for part in seen]),
        numbers=plain,
        shapes=shapes,
        words=words[0],
        binary=sum(part.binary for part in seen),
        days=days[0],
        bare=bare[0],
        whole=words[1] and days[1] and bare[1] and all(part.whole for part in seen),
        distinct=max((part.distinct for part in seen), default=0),
        nested=sum(part.nested for part in seen),
        odd_form=sum(part.odd_form for part in seen),
        shown=tuple(heapq.nsmallest(SHOWN, {text for part in seen for text in part.shown})),
    )


def truths(found: Cells) -> tuple[Counter[str], Counter[str], int]:
    """Return the spellings of true and of false among the words, and how many cells are neither."""
    true, false = Counter[str](), Counter[str]()
    for word, count in found.words.items():
        kind = true if word.lower() in TRUE else false if word.lower() in FALSE else None
        if kind is not None:
            kind[word] += count
    return true, false, found.given - found.binary - true.total() - false.total()


def _sum(counts: pa.Array, mask: pa.Array | None = None) -> int:
    return int(pc.sum(counts if mask is None else counts.filter(mask)).as_py() or 0)


def _summed(values: pa.Array, counts: pa.Array) -> pa.Table:
    summed = pa.table({"text": values, "count": counts}).group_by("text").aggregate([("count", "sum")])
    return pa.table({"text": summed["text"], "count": summed["count_sum"]})


def _fewest(table: pa.Table) -> tuple[pa.Table, bool]:
    """Keep the texts with the smallest hashes, whatever their order; also return whether these are all."""
    if table.num_rows <= ENOUGH:
        return table, True
    hashes = key_hash(table["text"], 0)
    return table.take(pa.array(np.sort(np.argpartition(hashes, ENOUGH)[:ENOUGH]))), False


def _largest(table: pa.Table) -> pa.Table:
    """Keep the most common texts; the others are counted together as one text that is no number."""
    if table.num_rows <= ENOUGH:
        return table
    table = table.sort_by([("count", "descending"), ("text", "ascending")])
    rest = pa.table(
        {"text": pa.array(["other"], table["text"].type), "count": pa.array([_sum(table["count"][ENOUGH:])])}
    )
    return pa.concat_tables([table.slice(0, ENOUGH), rest])


def _most(counts: dict[str, int]) -> tuple[dict[str, int], bool]:
    table, whole = _fewest(
        pa.table({"text": pa.array(list(counts), pa.large_string()), "count": list(counts.values())})
    )
    return _as_dict(table.sort_by("text")), whole


def _as_dict(table: pa.Table) -> dict[str, int]:
    return dict(zip(table["text"].to_pylist(), table["count"].to_pylist(), strict=True))


def _added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
