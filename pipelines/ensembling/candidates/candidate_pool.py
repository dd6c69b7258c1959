"""The candidates that combinations are made of: the method each was made for, its cost and its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.cost import Cost, total
from pipelines.ensembling.spec import EnsembleSpec

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pool:
    """Per candidate its method ("" for a trial), its cost, and the indices of the candidates that it reads."""

    methods: tuple[str, ...]
    costs: tuple[Cost, ...]
    needs: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, candidates: Sequence[Candidate], costs: Sequence[Cost]) -> Pool:
        """Describe candidates."""
        index_of = {candidate.number: index for index, candidate in enumerate(candidates)}
        return cls(
            tuple("" if c.made is None else c.made.method for c in candidates),
            tuple(costs),
            tuple(() if c.made is None else tuple(index_of[number] for number in c.made.needs) for c in candidates),
        )

    @classmethod
    def free(cls, count: int) -> Pool:
        """Describe trials that cost nothing."""
        return cls(("",) * count, (Cost(0.0, 0),) * count, ((),) * count)

    def used(self, chosen: Mask) -> list[int]:
        """Return the indices of the chosen candidates and of those that they read, ascending."""
        indices = {int(index) for index in np.flatnonzero(chosen)}
        return sorted(indices | {need for index in indices for need in self.needs[index]})

    def cost(self, chosen: Mask) -> Cost:
        """Return the cost of a model of the chosen candidates."""
        return total(self.costs[index] for index in self.used(chosen))

    def allows(self, chosen: Mask, spec: EnsembleSpec) -> bool:
        """Whether such a model keeps within the limits of the spec."""
        return self.cost(chosen).within(spec.max_row_ms, spec.max_bytes)
