"""Profiles a model's target over all rows of a source: its labels as they are written, and the task."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning import scan
from pipelines.cleaning.parts import Parts
from pipelines.cleaning.reading import Reading
from pipelines.errors import DataError, SpecError
from pipelines.inference.recipe.cells import canonical_text
from pipelines.inference.recipe.number_parsing import TruthText
from pipelines.inference.recipe.row_recipe import MISSING, MISSING_VALUES, Column, RowRecipe

YES = ("yes", "true", "1", "y", "t", "positive", "pos")
MAX_CLASSES = 20
MAX_LABELS = 2_000
SHOWN = 8
ORDERS = 1_000.0
"""For a positive target whose values span more than this factor, a relative metric is suggested."""


@dataclass(frozen=True)
class TargetProfile:
    """The profile of the target column.

    Parameters
    ----------
    labelled
        Rows with a label; 'none' and '-' may be one.
    numbers
        Labelled cells that are numbers, as the column's numbers are written.
    doubtful
        Labelled cells such as 'none' and '-', which among numbers mean missing.
    distinct
        Number of different labels, at least.
    labels
        Count of every label, most frequent first; empty if there are more than ``MAX_LABELS``.
    values, counts
        Different numbers in ascending order, and how often each stands; empty where the column is none of numbers.
    """

    rows: int
    labelled: int
    numbers: int
    doubtful: int
    distinct: int
    reading: Reading
    labels: dict[str, int] = field(default_factory=dict)
    values: np.ndarray = field(default_factory=lambda: np.empty(0))  # float64 or int64, shape (n,)
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, int))  # float64 or int64, shape (n,)

    @property
    def whole(self) -> bool:
        """Whether all numbers are whole."""
        return bool(len(self.values)) and bool((self.values == np.floor(self.values)).all())

    def shown(self) -> str:
        """Return the labels for a message."""
        pairs = [f"{label!r} {count}" for label, count in list(self.labels.items())[:SHOWN]]
        return ", ".join(pairs) + (" …" if len(self.labels) > SHOWN else "")


def look_at_target(parts: Parts, name: str, reading: Reading) -> TargetProfile:
    """Count the values of the target over all rows; texts are stripped, 1, 1.0 and "1" are one label."""
    labels: Counter[str] = Counter()
    as_label = replace(Column(name, "category"), missing=reading.column.missing, present=reading.column.present)
    if reading.column.kind == "category":
        as_label = replace(as_label, truth=reading.column.truth)
    recipe = RowRecipe((as_label,), MISSING, MISSING_VALUES)
    as_number = RowRecipe((reading.column,)) if reading.column.kind == "number" else None
    numbers: list[tuple[np.ndarray, np.ndarray]] = []
    many, uncounted = False, 0
    for index in range(len(parts.sizes)):
        table = parts.read(index, [name])
        texts = scan.texts(table[name])
        if as_number is not None:
            values = as_number.apply(table)[0][name].to_numpy()
            known = ~np.isnan(values)
            numbers.append(np.unique(values[known], return_counts=True))
            if many:  # their labels are not asked for
                texts = texts.filter(pa.array(~known))
                uncounted += int(known.sum())
        counted = pc.value_counts(texts.drop_null())
        for text, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            label = recipe.apply_row({name: text})[name]
            if label is not None:
                labels[label] += count
        many = many or len(labels) > MAX_LABELS
    values, counts = _merged(numbers)
    return TargetProfile(
        rows=parts.rows,
        labelled=labels.total() + uncounted,
        numbers=int(counts.sum()),
        doubtful=sum(count for label, count in labels.items() if label.lower() in MISSING_VALUES),
        distinct=len(labels),
        reading=reading,
        labels={} if many else dict(sorted(labels.items(), key=lambda item: (-item[1], item[0]))),
        values=values,
        counts=counts,
    )


def _merged(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Add up the counts of each number over several parts."""
    if not parts:
        return np.empty(0), np.empty(0, dtype=np.int64)
    values, inverse = np.unique(np.concatenate([one for one, _ in parts]), return_inverse=True)
    counts = np.zeros(len(values), dtype=np.int64)
    np.add.at(counts, inverse, np.concatenate([count for _, count in parts]))
    return values, counts


def infer_task(target: TargetProfile, column: str) -> tuple[str, str]:
    """Return the task and why: 2 values binary, words and codes multiclass, counts and amounts regression.

    Of numbers, at most 20 different whole ones are classes, unless they look like counts.

    Raises
    ------
    DataError
        If there are fewer than two different values.
    """
    if target.distinct < 2:
        raise DataError(
            "the target has no value at all" if not target.labelled else "the target has one class only",
            where=f"column {column!r}",
            seen=target.shown() or f"{target.rows} rows, none labelled",
            expected="at least two different values",
            cure="name the right --target, or a source that holds all outcomes",
        )
    read = target.reading.column
    if target.distinct == 2 or (read.kind == "category" and read.truth is not None):
        return "binary", f"two values: {target.shown()}"
    if read.kind != "number" or target.numbers < 0.95 * (target.labelled - target.doubtful):
        return "multiclass", f"{target.distinct} labels: {target.shown()}"
    if read.written is not None and not isinstance(read.written, TruthText):
        return "regression", f"{len(target.values)} different numbers, such as {target.shown().split(' ')[0]}"
    if target.whole and len(target.values) <= MAX_CLASSES and not are_counts(target):
        return "multiclass", (
            f"{len(target.values)} whole numbers: {target.shown()}; --task regression if they are amounts"
        )
    if target.whole and are_counts(target):
        zeros = target.counts[0] / target.counts.sum()
        return "regression", (
            f"counts from 0 to {target.values[-1]:.0f}, {zeros:.0%} of them 0; --metric poisson_deviance judges them "
            "as counts, --task multiclass if they are codes"
        )
    return "regression", f"{len(target.values)} different numbers"


def are_counts(target: TargetProfile) -> bool:
    """Tell whether whole numbers look like counts of events, not like codes of classes.

    They begin at 0, most of them are small, and beyond the commonest one each is rarer than the one before, down to a
    long thin end.
    """
    values, counts = target.values, target.counts
    if len(values) < 4 or values[0] != 0:
        return False
    top = int(counts.argmax())
    tail = counts[top:]
    rises = np.maximum(np.diff(tail), 0).sum()
    thin = counts[-1] <= 0.02 * counts.sum() and counts[-1] < 0.2 * counts[top]
    return bool(values[top] <= 2 and rises <= 0.05 * tail.sum() and thin)


def pick_positive(target: TargetProfile, column: str, wanted: str | None) -> tuple[str, str]:
    """Return the positive label and why: the declared one (stripped), else yes/true/1, else the rarer one.

    Raises
    ------
    SpecError
        If the declared label does not occur.
    """
    labels = list(target.labels)
    if wanted is not None:
        if canonical_text(wanted) in labels:
            return wanted.strip(), "as declared"
        near = difflib.get_close_matches(wanted.strip(), labels, n=1, cutoff=0.4)
        raise SpecError(
            "the positive label does not occur",
            where=f"column {column!r}",
            seen=target.shown(),
            expected=repr(wanted.strip()),
            cure=f"name one of these with --positive{f', perhaps {near[0]!r}' if near else ''}",
        )
    for label in labels:
        if label.lower() in YES:
            return label, "it reads as yes"
    return labels[-1], "it is the rarer one"


def spread(target: TargetProfile) -> str | None:
    """Return a notice on a regression target that spans orders of magnitude; None if it does not."""
    values, counts = target.values, target.counts
    if not len(values) or values[0] < 0:
        return None
    at = np.searchsorted(np.cumsum(counts), np.array([0.01, 0.99]) * counts.sum())
    low, high = values[np.minimum(at, len(values) - 1)]
    positive = values[values > 0]
    low = low if low > 0 else (positive[0] if len(positive) else 0)
    if not low or high / low < ORDERS or are_counts(target):
        return None
    return (
        f"from {low:.3g} to {high:.3g} (1 % and 99 % of the rows), {np.log10(high / low):.1f} orders of magnitude: "
        "--metric rmsle judges relative errors, on the logarithm"
    )
