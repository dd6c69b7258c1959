"""Fits target encoding: cross-fitted on ``_fold`` for the training rows, on all of them for every other row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.encoding import Encoded, encode
from pipelines.features.fitting.names import check_kinds, free_name, named_columns
from pipelines.features.spec import TargetEncode
from pipelines.inference.operations.base import Numbers, Operation, Output
from pipelines.inference.operations.keys import keyed_table, learn_keys
from pipelines.inference.operations.target import TargetMean

LEAST_FOLDS = 3
"""With fewer folds, no fold is left to learn from when two are held out."""


def fit_target(step: TargetEncode, data: TrainingData) -> FittedStep:
    """Encode each column, or all together as one key, by the smoothed mean of the target or of each class."""
    columns = named_columns(step.columns, data)
    check_kinds(columns, data, ("category", "code", "number"), f"TargetEncode of {', '.join(columns)}")
    operations: list[Operation] = []
    training: dict[str, Numbers] = {}
    by_fold: dict[str, Callable[[int], Numbers]] = {}
    how: dict[str, str] = {}
    taken = set(data.kinds)
    for key in [columns] if step.together else [(name,) for name in columns]:
        parts, codes = learn_keys([data.column(name) for name in key])
        targets = target_columns(data, "*".join(key) + ".target")
        outputs = tuple(Output(free_name(name, taken)) for name in targets)
        values, priors = [], []
        for output, y in zip(outputs, targets.values(), strict=True):
            fit = _CrossFit(codes, len(parts[0]), data.fold(), y, data.weight(), step.strength)
            found = fit.all()
            training[output.name] = found.training
            values.append(found.values)
            priors.append(found.prior)
            if len(data.judges) >= LEAST_FOLDS:
                by_fold[output.name] = fit.without
            strength = "no difference between categories" if np.isinf(found.strength) else f"{found.strength:.3g} rows"
            how[output.name] = f"mean of the target by {' and '.join(key)}, {len(parts[0])} keys, prior of {strength}"
        table = keyed_table(parts, values, np.ones(len(parts[0]), dtype=bool))
        operations.append(TargetMean(tuple(key), outputs, table, tuple(priors)))
    return FittedStep(tuple(operations), training=training, how=how, by_fold=by_fold)


class _CrossFit:
    """Encodes one target, with all rows or without a fold."""

    def __init__(
        self,
        codes: npt.NDArray[np.intp],
        size: int,
        fold: npt.NDArray[np.int8],
        y: Numbers,
        weight: Numbers,
        strength: float | None,
    ) -> None:
        self.codes, self.size, self.fold = codes, size, fold
        self.y, self.weight, self.strength = y, weight, strength

    def all(self) -> Encoded:
        """Encode with all rows; a training row from the other folds."""
        return encode(self.codes, self.size, self.fold, self.y, self.weight, self.strength)

    def without(self, fold: int) -> Numbers:
        """Encode the rows of ``fold`` from all others, and each other row from rows outside its fold and ``fold``."""
        inside = self.fold == fold
        made = np.empty(len(self.y))
        others = encode(
            self.codes[~inside], self.size, self.fold[~inside], self.y[~inside], self.weight[~inside], self.strength
        )
        made[~inside] = others.training
        made[inside] = others.values[self.codes[inside]]
        return made


def target_columns(data: TrainingData, name: str) -> dict[str, Numbers]:
    """Return the columns to average: the target's value, 1 for the positive label, or one column per class."""
    y = data.y()
    if data.classes is None or len(data.classes) == 2:
        return {name: y}
    return {f"{name}={label}": (y == index).astype(np.float64) for index, label in enumerate(data.classes)}


FITS = {"target_encode": fit_target}
