"""Resolves the columns that a step names, checks their kinds, and names its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.errors import SpecError
from pipelines.features.fitting.data import TrainingData


def named_columns(columns: Sequence[str] | str, data: TrainingData) -> tuple[str, ...]:
    """Return the columns that a step names, or all sources of a kind."""
    if not isinstance(columns, str):
        return tuple(dict.fromkeys(columns))
    kind = {"numbers": "number", "categories": "category", "dates": "date"}[columns]
    made = {output.name for one in data.operations for output in one.outputs if output.name not in one.inputs}
    return tuple(name for name, seen in data.kinds.items() if seen == kind and name not in made)


def check_kinds(names: Iterable[str], data: TrainingData, kinds: tuple[str, ...], where: str) -> None:
    """Raise ``SpecError`` unless all columns are there and of these kinds."""
    faults = [
        f"column {name!r} is a {data.kinds[name]}" if name in data.kinds else f"there is no column {name!r}"
        for name in names
        if data.kinds.get(name) not in kinds
    ]
    if faults:
        raise SpecError(
            "a feature step names columns that it cannot use",
            where=f"features.steps: {where}",
            seen="columns " + ", ".join(f"{name} ({kind})" for name, kind in data.kinds.items())[:500],
            expected=" or ".join(kinds),
            cure="correct the step in the DAG file, or the kind of the column in clean.kinds",
            faults=faults,
        )


def free_name(name: str, taken: set[str]) -> str:
    """Return an unused name, with underscores appended if needed, and mark it as used."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
