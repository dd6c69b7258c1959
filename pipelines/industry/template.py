"""What a template for one kind of job holds: settings, rules for its table, and a generator of such a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pipelines.spec import Spec

Rng = np.random.Generator


@dataclass(frozen=True)
class IndustryTemplate:
    """The start of a model for one kind of job.

    Parameters
    ----------
    name
        What ``aimass init --template`` calls it.
    title, why
        One line each: what is predicted, and why these settings suit it.
    model
        Fields of ``ModelSpec`` but the name; ``target`` is one of them.
    specs
        Settings by the variable of the DAG file (``EVALUATE``, …); what they name are columns of ``day``.
    rules
        Expectations of Great Expectations on cleaned columns, as ``(type, kwargs)``: what is true of such tables,
        whatever a first sample shows.
    day
        ``day(rng, number)``: the table of one day, with the target, as Python or NumPy values; ``number`` counts days
        from 2025-01-01. The key and the time are added by the feed.
    label_days
        Days after which the target of a row is known.
    rows
        Rows per day.
    missing
        Share of missing cells by column.
    """

    name: str
    title: str
    why: str
    model: Mapping[str, Any]
    day: Callable[[Rng, int], pd.DataFrame]
    specs: Mapping[str, Spec] = field(default_factory=dict)
    rules: tuple[tuple[str, dict[str, Any]], ...] = ()
    label_days: int = 1
    missing: Mapping[str, float] = field(default_factory=dict)


def logistic(score: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the probability of a score in log odds."""
    odds: np.ndarray[Any, np.dtype[np.float64]] = np.exp(score)
    return odds / (1.0 + odds)


def yes_no(rng: Rng, probability: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Draw ``yes`` with the given probabilities, else ``no``."""
    return np.where(rng.random(len(probability)) < probability, "yes", "no")
