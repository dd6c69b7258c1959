"""Fits the steps on categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.names import check_kinds, free_name, named_columns
from pipelines.features.fitting.statistics import most_frequent, text_counts
from pipelines.features.spec import Codes, Frequency, Hashing, OneHot, Ordinal, RareGroup
from pipelines.inference.operations import categorical
from pipelines.inference.operations.base import Operation, Output

NAME_LENGTH = 80
"""Longest text in the name of an output."""


def _each(step: Any, data: TrainingData, learn: Callable[[pa.DictionaryArray], Any]) -> list[tuple[str, Any]]:
    """Check the columns of a step and fit each of them."""
    names = _names(step, data)
    return list(zip(names, data.each(names, lambda _, values: learn(values)), strict=True))


def _names(step: Any, data: TrainingData) -> tuple[str, ...]:
    names = named_columns(step.columns, data)
    check_kinds(names, data, ("category",), f"{type(step).__name__}(columns={names})")
    return names


def _frequent(values: pa.DictionaryArray, least: float, most: int) -> tuple[tuple[str, ...], bool, bool]:
    """Return the frequent texts, whether there are other texts, and whether there are missing cells."""
    texts, counts, missing = text_counts(values)
    chosen = most_frequent(texts, counts, least, most)
    return chosen, len(chosen) < int((counts > 0).sum()), missing > 0


def fit_codes(step: Codes, data: TrainingData) -> FittedStep:
    """Learn which texts have a code of their own."""
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name, (chosen, _, _) in _each(step, data, lambda values: _frequent(values, step.rare_count, step.max_levels)):
        output = Output(free_name(f"{name}.code", taken), "code", len(chosen) + 1)
        operations.append(categorical.Codes((name,), (output,), chosen))
        how[output.name] = f"code of {len(chosen)} texts, one for all others"
    return FittedStep(tuple(operations), how=how)


def fit_one_hot(step: OneHot, data: TrainingData) -> FittedStep:
    """Learn which texts have a column, and whether others and missing cells occur."""
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    learned = _each(step, data, lambda values: _frequent(values, step.rare_count, step.max_levels))
    for name, (chosen, rest, missing) in learned:
        other = rest and step.unknown
        labels = [f"{name}={text[:NAME_LENGTH]}" for text in chosen]
        labels += [f"{name}.other"] * other + [f"{name}.missing"] * missing
        outputs = tuple(Output(free_name(label, taken)) for label in labels)
        operations.append(categorical.OneHot((name,), outputs, chosen, other, missing))
        how |= {output.name: f"1 where {label}" for output, label in zip(outputs, labels, strict=True)}
    return FittedStep(tuple(operations), how=how)


def fit_ordinal(step: Ordinal, data: TrainingData) -> FittedStep:
    """Take the declared order."""
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    order = tuple(dict.fromkeys(step.order))
    for name in _names(step, data):
        output = Output(free_name(f"{name}.rank", taken))
        numbers = tuple(float(index) for index in range(len(order)))
        operations.append(categorical.Numbered((name,), (output,), order, numbers, None, None))
        how[output.name] = f"index in the declared order of {len(order)}"
    return FittedStep(tuple(operations), how=how)


def fit_frequency(step: Frequency, data: TrainingData) -> FittedStep:
    """Learn the weighted share of every text, and of missing cells."""
    weight = data.weight()
    total = float(weight.sum())

    def learn(values: pa.DictionaryArray) -> tuple[tuple[str, ...], tuple[float, ...], float]:
        texts, weights, missing = text_counts(values, weight)
        pairs = sorted(zip(texts, (weights / total).tolist(), strict=True))
        return tuple(text for text, _ in pairs), tuple(share for _, share in pairs), missing / total

    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name, (texts, shares, missing) in _each(step, data, learn):
        output = Output(free_name(f"{name}.frequency", taken))
        operations.append(categorical.Numbered((name,), (output,), texts, shares, 0.0, missing))
        how[output.name] = f"share of rows with the same {name}, {len(texts)} texts"
    return FittedStep(tuple(operations), how=how)


def fit_hashing(step: Hashing, data: TrainingData) -> FittedStep:
    """Nothing is learned."""
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name in _names(step, data):
        output = Output(free_name(f"{name}.hash", taken), "code", step.buckets)
        operations.append(categorical.Hashed((name,), (output,), step.buckets, step.seed))
        how[output.name] = f"hash of the text in {step.buckets} buckets"
    return FittedStep(tuple(operations), how=how)


def fit_rare_group(step: RareGroup, data: TrainingData) -> FittedStep:
    """Learn which texts are not rare."""

    def learn(values: pa.DictionaryArray) -> tuple[str, ...]:
        texts, counts, _ = text_counts(values)
        return tuple(sorted(most_frequent(texts, counts, max(step.min_count, step.min_share * counts.sum()), None)))

    operations: list[Operation] = []
    how = {}
    for name, kept in _each(step, data, learn):
        operations.append(categorical.Group((name,), (Output(name, "category"),), kept, step.word, step.missing))
        how[name] = f"all but {len(kept)} texts grouped as {step.word!r}"
    return FittedStep(tuple(operations), how=how)


FITS = {
    "codes": fit_codes,
    "one_hot": fit_one_hot,
    "ordinal": fit_ordinal,
    "frequency": fit_frequency,
    "hashing": fit_hashing,
    "rare_group": fit_rare_group,
}
