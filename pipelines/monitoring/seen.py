"""What a pass over logged rows saw: each row is read and cleaned once, for all checks, and then only counted."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.monitoring.cells import cell_reader, frame_of
from pipelines.monitoring.drift.bins import Bins
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.traffic import Traffic, predicted_classes, predictions

PREDICTIONS = frozenset({"prediction", "predicted_class"})
"""Kinds of reference entries that are of the model's own predictions."""
KEPT = 20_000
"""Predictions that are kept whole."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """Logged rows in the order of the log, n of them.

    Parameters
    ----------
    rows
        As :class:`Traffic` has them.
    codes
        By column the bin of each row's value, (n,); of the predictions only for rows of the live version.
    values
        By growing column its values, (n,).
    unreadable, sent
        By column which cells cannot be read, and which were sent, (n,).
    own
        Which rows the live version predicted, (n,).
    predicted
        The newest ``KEPT`` of their predictions as they were logged.
    """

    rows: pd.DataFrame
    codes: Mapping[str, npt.NDArray[np.intp]]
    values: Mapping[str, npt.NDArray[np.float64]]
    unreadable: Mapping[str, Flags]
    sent: Mapping[str, Flags]
    own: Flags
    predicted: list[Any]


def look(live: LiveModel, traffic: Traffic, rows: pd.DataFrame, bins: Mapping[str, Bins]) -> Seen:
    """Read these rows part by part.

    Parameters
    ----------
    bins
        Of the columns that are counted.
    """
    with no_cycles_sought():
        return _look(live, traffic, rows, bins)


@contextmanager
def no_cycles_sought() -> Iterator[None]:
    """Keep Python's garbage collector from walking through millions of cells again and again, none of them a cycle."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _look(live: LiveModel, traffic: Traffic, rows: pd.DataFrame, bins: Mapping[str, Bins]) -> Seen:
    parts: list[pd.DataFrame] = []
    found: dict[str, dict[str, list[Any]]] = {
        kind: defaultdict(list) for kind in ("codes", "values", "unreadable", "sent")
    }
    own_parts: list[Flags] = []
    predicted: list[Any] = []
    watched = {name: one for name, one in bins.items() if one.kind in PREDICTIONS}
    read = cell_reader(live.requested)
    for part, sent, outputs in traffic.parts(rows, read):
        given = np.fromiter((row is not None for row in sent), bool, len(sent))
        if not given.all():
            part = part[given]
            sent = [row for row in sent if row is not None]
            outputs = [row for row, there in zip(outputs, given, strict=True) if there]
        if not sent:
            continue
        raw = frame_of(sent, live.requested, typed=not live.enrichment)
        clean, bad = live.clean(raw)
        parts.append(part)
        for name in live.recipe.names:
            found["unreadable"][name].append(bad[name].to_numpy())
            if name in raw:
                found["sent"][name].append(raw[name].notna().to_numpy())
        for name, one in bins.items():
            if name not in watched and name in clean:
                if one.kind == "growing":
                    found["values"][name].append(clean[name].to_numpy(dtype=np.float64))
                found["codes"][name].append(_codes(one, clean[name]))
        own = (part["version"] == live.champion.version).to_numpy()
        outputs = [row if mine else None for row, mine in zip(outputs, own, strict=True)]
        own = own & np.fromiter((row is not None for row in outputs), bool, len(outputs))
        own_parts.append(own)
        for name, one in watched.items():
            values = predictions(outputs) if one.kind == "prediction" else predicted_classes(outputs)
            found["codes"][name].append(one.codes(values).astype(np.int16))
        predicted = [*predicted, *(row for row in outputs if row is not None)][-KEPT:]
    joined = {
        kind: {name: np.concatenate(arrays) for name, arrays in columns.items()} for kind, columns in found.items()
    }
    return Seen(
        pd.concat(parts) if parts else rows.iloc[:0],
        joined["codes"],
        joined["values"],
        joined["unreadable"],
        joined["sent"],
        np.concatenate(own_parts) if own_parts else np.zeros(0, bool),
        predicted,
    )


def _codes(bins: Bins, values: pd.Series) -> Any:
    """Return the bins of a column, small; of a growing one whether a value is missing."""
    if bins.kind == "growing":
        return values.isna().to_numpy().astype(np.int16)
    return bins.codes(values).astype(np.int16)
