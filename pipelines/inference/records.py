"""Outputs by column as one record per row: what callers read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def by_row(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return columns, each a list of values or {label: list}, as one object per row.

    >>> by_row({"prediction": ["no", "yes"], "probability": [0.2, 0.7]})
    [{'prediction': 'no', 'probability': 0.2}, {'prediction': 'yes', 'probability': 0.7}]
    """
    names = list(outputs)
    columns = [
        [dict(zip(values, cells, strict=True)) for cells in zip(*values.values(), strict=True)]
        if isinstance(values, dict)
        else values
        for values in outputs.values()
    ]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
