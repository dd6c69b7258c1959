"""Any family with some of its settings fixed: they are not searched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from pipelines.algorithms.base import Dataset, Family, FitContext, Fitted, Params, TaskInfo, Wrapped
from pipelines.errors import SpecError

Value = bool | int | float | str


class Pinned(Wrapped):
    """Another family whose search space has one value left for each of ``fixed``, which ``check_fixed`` has accepted.

    A number may lie outside the range that is searched otherwise; a choice is one of the family's.
    """

    def __init__(self, inner: Family, fixed: Mapping[str, Value]) -> None:
        super().__init__(inner)
        self.fixed = dict(fixed)

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return the family's own configurations with the fixed values, each once."""
        values = {name: space.choices[0] for name, space in self._single(shape).items()}
        changed = [{**params, **values} for params in self.inner.portfolio(shape)]
        return tuple(params for index, params in enumerate(changed) if params not in changed[:index])

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the family's own space, with a single choice for each fixed value."""
        return {**self.inner.space(shape), **self._single(shape)}

    def faults(self, shape: TaskInfo) -> list[tuple[str, str]]:
        """Return each setting that cannot have its value, and what was expected."""
        space = self.inner.space(shape)
        return [
            (f"{self.name}: {name}={value!r}", expected)
            for name, value in self.fixed.items()
            if (expected := _expected(space.get(name), value, sorted(space))) is not None
        ]

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Fit the family."""
        return self.inner.fit(params, train, valid, shape, context)

    def _single(self, shape: TaskInfo) -> dict[str, CategoricalDistribution]:
        space = self.inner.space(shape)
        return {name: CategoricalDistribution((_typed(space[name], value),)) for name, value in self.fixed.items()}


def check_fixed(families: Iterable[Family], shape: TaskInfo) -> None:
    """Refuse values that their families cannot have on columns of this shape.

    Raises
    ------
    SpecError
        Names all of them.
    """
    faults = [fault for family in families if isinstance(family, Pinned) for fault in family.faults(shape)]
    if faults:
        raise SpecError(
            "a setting cannot be fixed like that",
            where="TuneSpec.fixed",
            seen=faults[0][0],
            expected=faults[0][1],
            cure="correct it, or leave it out to have it searched",
            faults=[f"{found}: expected {expected}" for found, expected in faults],
        )


def _expected(space: BaseDistribution | None, value: Value, known: list[str]) -> str | None:
    """Say what a setting should be; None where the value is that."""
    if space is None:
        return f"one of tonight's settings: {', '.join(known)}"
    if isinstance(space, CategoricalDistribution):
        return None if _typed(space, value) is not None else f"one of {', '.join(map(repr, space.choices))}"
    whole = isinstance(space, IntDistribution)
    least = min(space.low, 1 if whole else 0)
    fits = not isinstance(value, bool | str) and math.isfinite(value) and value >= least
    if fits and (not whole or value == int(value)):
        return None
    return f"a {'whole ' if whole else ''}number from {least:g}"


def _typed(space: BaseDistribution, value: Value) -> Value | None:
    """Return the value in the type that the family has for it; None where it is no choice."""
    if isinstance(space, CategoricalDistribution):
        alike = (one for one in space.choices if one == value and isinstance(one, bool) == isinstance(value, bool))
        found: Value | None = next(alike, None)
        return found
    return int(value) if isinstance(space, IntDistribution) else float(value)
