"""Extra columns of the training table: the features that each fold must be judged with.

A feature that was cross-fitted has, for the judging of a fold, values that hold nothing of that fold's labels, in a
column ``<feature>@<fold>``; a feature that some fold chose without its own labels is there even if the plan has it not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.features.fitting import TrainingData


def fold_columns(data: TrainingData) -> dict[int, dict[str, str]]:
    """Return by judging fold and feature the column of the table; empty if all folds use the plan's."""
    names = list(dict.fromkeys([*data.outputs, *(name for fold in data.judges for name in data.candidates(fold))]))
    varying = set(data.varying(names))
    if not varying and not data.outputs_by_fold:
        return {}
    taken, made = set(names), dict[int, dict[str, str]]()
    for fold in data.judges:
        made[fold] = {}
        for name in data.candidates(fold):
            made[fold][name] = _free(f"{name}@{fold}", taken) if name in varying else name
    return made


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def extra_columns(data: TrainingData, folds: dict[int, dict[str, str]]) -> list[str]:
    """Return the columns to write after those of the plan."""
    columns = (column for names in folds.values() for column in names.values())
    return [column for column in dict.fromkeys(columns) if column not in data.outputs]


def extra_part(data: TrainingData, folds: dict[int, dict[str, str]], index: int) -> dict[str, Any]:
    """Return the extra columns of one partition."""
    made: dict[str, Any] = {}
    plain = [column for column in extra_columns(data, folds) if column in data.kinds]
    made.update(data.part(index, plain))
    for fold, names in folds.items():
        own = {name: column for name, column in names.items() if column != name}
        values = data.view(fold).part(index, list(own))
        made.update({column: values[name] for name, column in own.items()})
    return made


def describe_folds(data: TrainingData, folds: dict[int, dict[str, str]]) -> dict[str, list[dict[str, Any]]]:
    """Return by fold ``{name, kind, cardinality, column}`` of every feature, for ``columns.json``."""
    outputs = {output.name: output for operation in data.operations for output in operation.outputs}

    def entries(names: dict[str, str]) -> Sequence[dict[str, Any]]:
        return [
            {
                "name": name,
                "kind": data.kinds[name],
                "cardinality": outputs[name].cardinality if name in outputs else None,
                "column": column,
            }
            for name, column in names.items()
        ]

    return {str(fold): list(entries(names)) for fold, names in folds.items()}
