"""What combinations are made of: places, the combination each was made for, what they cost and need."""

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
    """One place per answer: its method ("" for a trial), its cost, and the places whose answers it takes."""

    methods: tuple[str, ...]
    costs: tuple[Cost, ...]
    needs: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, candidates: Sequence[Candidate], costs: Sequence[Cost]) -> Pool:
        """Describe candidates."""
        place = {candidate.number: index for index, candidate in enumerate(candidates)}
        return cls(
            tuple("" if c.made is None else c.made.method for c in candidates),
            tuple(costs),
            tuple(() if c.made is None else tuple(place[number] for number in c.made.needs) for c in candidates),
        )

    @classmethod
    def free(cls, count: int) -> Pool:
        """Describe trials that cost nothing."""
        return cls(("",) * count, (Cost(0.0, 0),) * count, ((),) * count)

    def used(self, chosen: Mask) -> list[int]:
        """Return the chosen places and those whose answers they take, in order."""
        places = {int(place) for place in np.flatnonzero(chosen)}
        return sorted(places | {need for place in places for need in self.needs[place]})

    def cost(self, chosen: Mask) -> Cost:
        """Return the cost of a model of the chosen places."""
        return total(self.costs[place] for place in self.used(chosen))

    def allows(self, chosen: Mask, spec: EnsembleSpec) -> bool:
        """Whether such a model keeps within the limits of the spec."""
        return self.cost(chosen).within(spec.max_row_ms, spec.max_bytes)
