"""What is searched, how, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.algorithms.registry import ALGORITHMS
from pipelines.spec import UNSUPERVISED, Spec

FAMILIES = tuple(name for name, algorithm in ALGORITHMS.items() if not algorithm.tasks & UNSUPERVISED)
"""The families for a model with a target."""
DEFAULT = ("lightgbm", "catboost", "xgboost", "extra_trees", "linear", "mlp")
MIN_SECONDS = 10.0


class TuneSpec(Spec):
    """The search over families and their settings."""

    families: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = DEFAULT
    """Estimator families that take part, the one tried first in front; default: those that pay on most tables, mlp
    on small ones alone, also where a list names just these. A model without target takes all that can learn its task
    in place of the default."""
    fixed: dict[str, dict[str, bool | int | float | str]] = Field(default_factory=dict)
    """Settings that are not searched, by family: ``{"kmeans": {"clusters": 5}}``. Their names stand in the family's
    file in pipelines/algorithms; a number may lie outside the range there, a choice may not. What the ensemble builds
    on top of trials has settings of its own, and where time is short LightGBM may still take longer steps."""
    strategy: Literal["bayesian", "random", "grid", "nsga2", "cmaes", "population"] = "bayesian"
    """How configurations are proposed within a family, once its portfolio is tried. ``bayesian``: TPE; ``nsga2``:
    genetic, by score and size of the model; ``cmaes``: evolution of numbers; ``population``: children of the best;
    ``grid``: each point of a grid once."""
    grid_points: Annotated[int, Field(ge=2, le=20)] = 3
    """Points of each numeric setting in a grid."""
    pruning: Literal["asha", "median", "none"] = "asha"
    """When a trial is given up after some of its folds: ``asha``: unless it is among the best third of those that came
    as far; ``median``: when it is behind the median; ``none``: never."""
    budget_seconds: Annotated[float, Field(ge=MIN_SECONDS, le=86_400)] | None = 60.0
    """Wall clock, in seconds, of tune and ensemble together, Ray's start and refits included; not reproducible."""
    trials: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Number of trials instead of seconds; when set it wins, and the same inputs give the same model to the byte.
    Fewer than families: only the first of these take part."""
    generation: Annotated[int, Field(ge=1, le=64)] = 4
    """A trial is proposed from the results of all trials but the latest this many; bounds the trials at one time."""
    keep: Annotated[int, Field(ge=1, le=100)] = 16
    """Number of best trials whose out-of-fold predictions are kept for the ensemble."""
    warm_start: bool = True
    """Begin with what the model's last night was made of, and the best others."""
    trial_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = 3_600.0
    """Longest that one trial may take; one that hangs is cut then. Within a budget in seconds it ends sooner anyway."""
    fit_rows: Annotated[int, Field(ge=1_000)] | None = None
    """Most rows that one fit of a trial learns from, drawn once for all trials; the members of the model learn from all
    rows. None: with a budget in seconds as many as leave time for some tens of trials, else all."""
    trial_memory_mb: Annotated[int, Field(ge=64)] | None = None
    """Most memory, in MB, that one trial may allocate; None: all that a stage may plan with (AIMASS_MEMORY_GB)."""
    gpu: Literal["auto", "off"] = "auto"
    """``auto``: families that are faster on a GPU get a share of one where Ray finds any; the same seed then need not
    give the same model. ``off``: all on the CPU."""
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of a GPU that a trial asks for: 0.5 lets two trials use one at a time."""
    augment: Literal["none", "weights", "smote"] = "none"
    """``weights``: whether rare classes weigh more in what a trial learns from becomes part of the search, with
    probabilities put right afterwards. ``smote``: that, and whether it learns from synthetic rows of rare classes
    (SMOTE). On the training side of each fold only; not for a regression."""
    members: Annotated[int, Field(ge=1, le=50)] = 4
    """Refits of the best trials that time is set aside for; more are made where there is time. Counts in a budget in
    seconds only."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.families:
            raise ValueError(f"families is empty; name at least one of {', '.join(FAMILIES)}")
        if len(set(self.families)) != len(self.families):
            raise ValueError(f"families names one twice: {self.families}")
        unknown = [name for name in (*self.families, *self.fixed) if name not in ALGORITHMS]
        if unknown:
            raise ValueError(f"no family is called {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
        absent = [name for name in self.fixed if name not in self.families]
        if absent and self.families != DEFAULT:
            raise ValueError(f"fixed has settings of {', '.join(absent)}, which families leaves out")
        if self.budget_seconds is None and self.trials is None:
            raise ValueError("neither budget_seconds nor trials is set; set one, for example trials=20")
        return self
