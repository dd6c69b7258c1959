"""How trials are combined into one model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec

Method = Literal["weighted_average", "stacking"]


class EnsembleSpec(Spec):
    """The combination of the search's best trials; the best single trial always competes too."""

    methods: tuple[Method, ...] = ("weighted_average", "stacking")
    """Combinations that compete on out-of-fold rows; empty: the best single trial."""
    max_members: Annotated[int, Field(ge=1, le=50)] = 8
    """Most members of the model; each is refitted on all training rows."""
    rounds: Annotated[int, Field(ge=1, le=500)] = 25
    """Steps of the greedy choice of weights: a weight is a multiple of 1 / steps taken."""
    penalty: Annotated[float, Field(ge=0)] = 0.001
    """Pull of the stacking weights towards equal weights, per unit of squared distance."""
    choice_rows: Annotated[int, Field(ge=1_000)] = 20_000
    """Most out-of-fold rows that weights are chosen on, taken at a fixed step."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods names one twice: {self.methods}")
        return self
