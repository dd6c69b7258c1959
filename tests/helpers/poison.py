"""Rows spoilt on purpose, in 13 ways: what cleaning has to find, all of it and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

Spoil = Callable[[pd.DataFrame, pd.Index], None]
LINE = "line"
"""Column that tells the rows apart whatever is done to them; the model drops it."""


@dataclass(frozen=True)
class Targets:
    """Which columns of a table of texts take which poison."""

    key: str
    number: str
    ranged: str
    positive: str
    scaled: str
    category: str
    closed: str
    label: str
    impossible: Mapping[str, str]
    """Cells that cannot stand together, or a date that no calendar has."""


def kinds(to: Targets) -> dict[str, Spoil]:
    """Return the kinds of poison."""

    def put(column: str, *texts: str) -> Spoil:
        def spoil(frame: pd.DataFrame, rows: pd.Index) -> None:
            frame.loc[rows, column] = [texts[index % len(texts)] for index in range(len(rows))]

        return spoil

    def scaled(frame: pd.DataFrame, rows: pd.Index) -> None:
        frame.loc[rows, to.scaled] = [f"{float(cell) * 1000:.6g}" for cell in frame.loc[rows, to.scaled]]

    def together(frame: pd.DataFrame, rows: pd.Index) -> None:
        for column, text in to.impossible.items():
            frame.loc[rows, column] = text

    def shifted(frame: pd.DataFrame, rows: pd.Index) -> None:
        names = [name for name in frame.columns if name not in (LINE, to.key)]
        frame.loc[rows, names] = np.roll(frame.loc[rows, names].to_numpy(dtype=object), 1, axis=1)

    return {
        "text in a number": put(to.number, "thirty", "N.N."),
        "garbled number": put(to.number, "1,2x", "12e", "4 5"),
        "out of the declared range": put(to.ranged, "999"),
        "infinity or overflow": put(to.number, "1e999", "inf", "-Infinity"),
        "impossible": together,
        "unknown category": put(to.closed, "Atlantis"),
        "over-long text": put(to.category, "x" * 5000),
        "control characters": put(to.category, "a\x00b", "\x1bc"),
        "missing key": put(to.key, "", " ? "),
        "label that is no class": put(to.label, "maybe"),
        "shifted cells": shifted,
        "unit error x1000": scaled,
        "negative": put(to.positive, "-3"),
    }


def poison(frame: pd.DataFrame, to: Targets, count: int, seed: int = 0) -> tuple[pd.DataFrame, dict[str, set[int]]]:
    """Spoil ``count`` rows, every kind in turn; return the table and the lines of each kind."""
    frame = frame.copy()
    rows = pd.Index(np.random.default_rng(seed).permutation(len(frame))[:count])
    ways = kinds(to)
    lines: dict[str, set[int]] = {}
    for index, (name, spoil) in enumerate(ways.items()):
        chosen = rows[index :: len(ways)]
        spoil(frame, chosen)
        lines[name] = set(frame.loc[chosen, LINE].astype(int))
    return frame, lines


def stamped(frame: pd.DataFrame, key: str) -> pa.Table:
    """Return a table as the stage ``sample`` leaves it; a tenth of the rows is sealed."""
    count = len(frame)
    stamps = {
        "_key": pa.array(frame[key], pa.string()),
        "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
        "_sealed": pa.array(np.arange(count) % 10 == 0),
        "_weight": pa.array(np.ones(count)),
    }
    return pa.table({**{name: pa.array(frame[name], pa.string(), from_pandas=True) for name in frame}, **stamps})
