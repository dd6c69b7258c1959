"""The generated feed of a template: one CSV file per day; a row comes again, with its target, when that is known."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.artifacts import write_atomic
from pipelines.industry.template import IndustryTemplate
from pipelines.settings import make_private

EPOCH = date(2025, 1, 1)
"""The day from which the days of a feed are counted."""


def write_feed(template: IndustryTemplate, folder: Path, newest: date, days: int, seed: int = 0) -> list[Path]:
    """Write the files ``<template>-YYYY-MM-DD.csv`` of ``days`` days up to ``newest``; return their paths.

    A file holds the rows of its day, target blank, and once more the rows whose target became known on it. Each is a
    function of the seed and its day alone. A file that is there already is kept.
    """
    make_private(folder)
    written = []
    for back in range(days - 1, -1, -1):
        day = newest - timedelta(days=back)
        path = folder / f"{template.name}-{day.isoformat()}.csv"
        if not path.exists():
            write_atomic(path, day_file(template, day, seed))
        written.append(path)
    return written


def day_file(template: IndustryTemplate, day: date, seed: int = 0) -> str:
    """Return the text of one day's file."""
    target = template.model["target"]
    fresh = rows_of(template, day, seed)
    fresh[target] = None
    known = rows_of(template, day - timedelta(days=template.label_days), seed)
    return str(pd.concat([fresh.astype(object), known.astype(object)]).to_csv(index=False, lineterminator="\n"))


def rows_of(template: IndustryTemplate, day: date, seed: int = 0) -> pd.DataFrame:
    """Return the rows of a day with their key, time and target; some cells are missing."""
    rng = np.random.default_rng([seed, day.toordinal()])
    table = template.day(rng, (day - EPOCH).days)
    key, time = template.model["key"][0], template.model["time"]
    seconds = np.sort(rng.integers(6 * 3600, 22 * 3600, len(table)))
    moments = pd.Timestamp(day) + pd.to_timedelta(seconds, unit="s")
    table.insert(0, key, [f"{day:%y%m%d}-{number:05d}" for number in range(len(table))])
    table.insert(1, time, moments.strftime("%Y-%m-%d %H:%M:%S"))
    for column, share in template.missing.items():
        table[column] = table[column].astype(object).mask(rng.random(len(table)) < share, None)
    return table
