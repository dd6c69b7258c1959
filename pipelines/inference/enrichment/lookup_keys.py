"""The key of a look-up as one text: that of :func:`pipelines.holdout.canonical_key`, null where a part is null."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.holdout import MISSING, SEPARATOR, canonical_value
from pipelines.inference.recipe.arrays import as_arrow, without_infinite

MAX_KEY: Final = 4096
MAX_BITS: Final = 1024
_KEY_CELLS = (str, bool, int, float, date, Decimal, np.generic)
_CANONICAL = r"^(?:[1-9][0-9]{0,17}|[A-Za-z_][\x21-\x7e]*)$"
"""Texts that are their own canonical text."""


def key_texts(columns: Sequence[Any]) -> pa.Array:
    """Return the canonical key text of many rows, null where any part of the key is null.

    Parameters
    ----------
    columns
        The key's columns as Series or Arrow arrays of equal length, of any type of cell.
    """
    texts = [_canonical(column) for column in columns]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, pa.scalar(SEPARATOR, pa.large_string()))


def _canonical(column: Any) -> pa.Array:
    array = as_arrow(pa.chunked_array([column]) if isinstance(column, pa.Array) else column)
    if array is None:  # cells of several types, which an encoding would take for one another
        return pa.array([key_text(value) for value in column], pa.large_string())
    if pa.types.is_null(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        array, infinite = without_infinite(array)
        if infinite is not None:
            return pc.coalesce(infinite.cast(pa.large_string()), _canonical(array))
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    distinct = encoded.dictionary
    kind = distinct.type
    if (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and (
        pc.all(pc.match_substring_regex(distinct, _CANONICAL)).as_py() is not False
    ):
        return distinct.cast(pa.large_string()).take(encoded.indices)
    texts = pa.array([key_text(value) for value in distinct.to_pylist()], pa.large_string())
    return texts.take(encoded.indices)


def key_text(value: Any) -> str | None:
    """Return the canonical text of a key's cell; None for null and for what no key can be."""
    if value is None or value is pd.NA or value is pd.NaT or not isinstance(value, _KEY_CELLS):
        return None
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return None
    if isinstance(value, Decimal) and value.is_nan():
        return None
    text = canonical_value(value)
    try:
        return None if text == MISSING or len(text.encode()) > MAX_KEY else text
    except UnicodeEncodeError:
        return None
