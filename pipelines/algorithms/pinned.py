"""Any family with some of its settings pinned: they are not searched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from pipelines.algorithms.base import Family, Fitted, Limit, Params, Part, Shape
from pipelines.errors import SpecError

Value = bool | int | float | str


class Pinned(Family):
    """Another family whose search space has one value left for each of ``fixed``.

    A number may lie outside the range that is searched otherwise; a choice is one of the family's.
    """

    def __init__(self, inner: Family, fixed: Mapping[str, Value]) -> None:
        self.inner, self.fixed = inner, dict(fixed)
        self.name, self.tasks = inner.name, inner.tasks  # type: ignore[misc]  # the catalogue's name stays
        self.devices, self.needs, self.extra = inner.devices, inner.needs, inner.extra  # type: ignore[misc]  # likewise

    def portfolio(self, shape: Shape) -> tuple[Params, ...]:
        """Give the family's own configurations with the fixed values, each once."""
        changed = [{**params, **self.fixed} for params in self.inner.portfolio(shape)]
        return tuple(params for place, params in enumerate(changed) if params not in changed[:place])

    def space(self, shape: Shape) -> dict[str, BaseDistribution]:
        """Give the family's own space, a single choice in the place of what is fixed.

        Raises
        ------
        SpecError
            If the family has no setting of that name, or it cannot have that value.
        """
        space = self.inner.space(shape)
        for name, value in self.fixed.items():
            expected = _expected(space[name], value) if name in space else f"of {', '.join(sorted(space))}"
            if expected is not None:
                raise SpecError(
                    f"{self.name} has no such setting" if name not in space else f"{name} cannot be that",
                    where=f"TuneSpec.fixed, {self.name}",
                    seen=name if name not in space else repr(value),
                    expected=expected,
                    cure="correct it, or leave it out to have it searched",
                )
        return space | {name: CategoricalDistribution((value,)) for name, value in self.fixed.items()}

    def fit(
        self, params: Params, train: Part, valid: Part | None, shape: Shape, *,
        seed: int, threads: int, limit: Limit, device: str = "cpu",
    ) -> Fitted:  # fmt: skip
        """Fit the family."""
        return self.inner.fit(params, train, valid, shape, seed=seed, threads=threads, limit=limit, device=device)

    def memory(self, shape: Shape) -> int:
        """Estimate the family's own need."""
        return self.inner.memory(shape)

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Settle the family's own parameters."""
        return self.inner.settle(params, learned)


def _expected(space: BaseDistribution, value: Value) -> str | None:
    """Say what a setting should be; None where the value is that."""
    if isinstance(space, CategoricalDistribution):
        fits = any(choice == value and type(choice) is type(value) for choice in space.choices)
        return None if fits else f"one of {', '.join(map(repr, space.choices))}"
    whole = isinstance(space, IntDistribution)
    if isinstance(value, bool | str) or not math.isfinite(value) or (whole and value != int(value)):
        return "a whole number" if whole else "a number"
    return None
