"""One small student that learns the predictions of the whole ensemble."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.base import Array, Dataset, Limit, Params, TaskInfo
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.candidates.candidates import Candidate, Made
from pipelines.ensembling.fitting.fit_candidate import fit_parts, numbers
from pipelines.ensembling.fitting.nested_oof import Nested
from pipelines.inference.ensemble.combine import combine_predictions, scores_of
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.metrics import METRICS

STUDENT = 200_000
"""Number of the student among candidates."""
FAMILY = "lightgbm"
SMALL: Params = {"learning_rate": 0.1, "num_leaves": 24, "iterations": 200}
"""What keeps it small, beside the family's defaults."""
COPIES, SWAPPED = 2, 0.3
"""Times that the rows are repeated with some cells taken from other rows, and the share of such cells."""

Teacher = Callable[[Array], Array]


@dataclass(frozen=True)
class Student:
    """A fitted student, its honest out-of-fold predictions, and its loss on them."""

    candidate: Candidate
    node: EnsembleNode


def student(
    members: list[tuple[Candidate, EnsembleNode]],
    combine: dict[str, Any],
    nested: Nested,
    columns: Columns,
    *,
    seed: int,
    cores: int,
    until: float | None = None,
) -> Student:
    """Teach one booster the scores of the ensemble; judge it by students of teachers that never saw the fold.

    A teacher's out-of-fold predictions would not do as lessons: those of one fold come from members that learned
    the labels of all others, those that judge the student included. So the members are fitted again without each fold,
    and those that read others' predictions learn from ``nested`` ones. Lessons are the teacher's predictions for its
    own rows and for rows with cells of other rows (Bucila, Caruana and Niculescu-Mizil, Model compression, 2006).

    Raises
    ------
    ArithmeticError
        If a prediction is not finite.
    OutOfTimeError
        At ``until``, a moment of ``time.time``.
    """
    limit = Limit(hard=until)
    folds, held = columns.folds, columns.held_out
    needs = {number for member, _ in members if member.made is not None for number in member.made.needs}
    first = members[0][0]
    params: Params = {**family(FAMILY).default(numbers(columns.shape)), **SMALL}
    made = Made("student", "boosted", like=tuple(number for member, _ in members for number in member.trials))
    candidate = replace(first, number=STUDENT, family=FAMILY, raw=params, params=params, made=made, device="cpu")

    def one(fold: int) -> tuple[Array, list[dict[str, float]]]:
        train, valid, shape = columns.sides(fold)
        learn = held & (columns.fold != fold)
        rows = Dataset(*(values[learn[columns.fold != fold]] for values in train))
        read = {number: nested.learned_from(number, fold)[learn] for number in needs}
        teacher = _teacher(members, combine, read, rows, shape, seed, limit)
        lessons, goals = _lessons(rows, teacher, [seed, fold])
        check = scores_of(teacher(valid.X))
        fitted = fit_parts(
            candidate, params, lessons, valid, [goals], [check], shape, seed=seed, threads=1, limit=limit
        )
        return fitted.node(made, {}, shape.classes).predict(valid.X), fitted.learned

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max_workers=max(1, cores)) as pool:
        found = list(pool.map(one, folds))
    oof = np.full((len(columns.y), columns.shape.outputs), np.nan)
    for fold, (y_pred, _) in zip(folds, found, strict=True):
        oof[columns.fold == fold] = y_pred.reshape(len(y_pred), -1)
    if not np.isfinite(oof[held]).all():
        raise ArithmeticError("its out-of-fold predictions are not finite")
    judged = oof[held] if columns.shape.classes else oof[held, 0]
    loss = METRICS[columns.shape.metric].loss(columns.y[held], judged, columns.w[held])
    settled = family(FAMILY).settle(params, [entry for _, learned in found for entry in learned])
    lessons, goals = _lessons(columns.whole(), _asked([node for _, node in members], combine), [seed])
    fitted = fit_parts(candidate, settled, lessons, None, [goals], [], columns.shape, seed=seed, threads=1, limit=limit)
    candidate = replace(candidate, oof=oof, loss=loss, params=settled)
    return Student(candidate, fitted.node(made, {}, columns.shape.classes))


def _teacher(
    members: list[tuple[Candidate, EnsembleNode]],
    combine: dict[str, Any],
    read: Mapping[int, Array],
    rows: Dataset,
    shape: TaskInfo,
    seed: int,
    limit: Limit,
) -> Teacher:
    """Fit the members on some rows only; ``read`` holds, by trial, the predictions for these rows that others read."""
    index_of = {candidate.number: index for index, (candidate, _) in enumerate(members)}
    nodes = []
    for candidate, _ in members:
        needs = () if candidate.made is None else candidate.made.needs
        given = [read[number] for number in needs]
        fitted = fit_parts(candidate, candidate.params, rows, None, given, [], shape, seed=seed, threads=1, limit=limit)
        nodes.append(fitted.node(candidate.made, index_of, shape.classes))
    return _asked(nodes, combine)


def _asked(nodes: list[EnsembleNode], combine: dict[str, Any]) -> Teacher:
    def predict(X: Array) -> Array:
        predictions: list[Array] = []
        for node in nodes:
            predictions.append(node.predict(X, predictions))
        return combine_predictions(combine, predictions)

    return predict


def _lessons(rows: Dataset, teacher: Teacher, seed: list[int]) -> tuple[Dataset, Array]:
    """Return the rows, repeated with some cells of other rows, and the teacher's scores of all of them."""
    rng = np.random.default_rng(seed)
    blocks = [rows.X]
    for _ in range(COPIES):
        other = rows.X[rng.permutation(len(rows.X))]
        blocks.append(np.where(rng.random(rows.X.shape) < SWAPPED, other, rows.X))
    X = np.concatenate(blocks)
    return Dataset(X, np.tile(rows.y, len(blocks)), np.tile(rows.w, len(blocks))), scores_of(teacher(X))
