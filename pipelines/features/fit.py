"""Learns the feature plan from training rows: declared steps, ``auto`` for the rest, then the steps over all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.errors import DataError
from pipelines.features.fitting import FittedStep, TrainingData, fit_step
from pipelines.features.fitting.auto import Treatment, copies, treat_category, treat_date, treat_number
from pipelines.features.fitting.names import named_columns
from pipelines.features.spec import Codes, FeatureSpec, Lag, Rolling, Select
from pipelines.features.summary import ColumnSummary
from pipelines.inference.enrichment.request import EMPTY, Enrichment
from pipelines.inference.operations.base import Operation
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import RowRecipe

NO_VALUE = "no value in any training row"
BETWEEN = {"ratio": "/", "difference": "-", "cross": "*"}
"""Separators in the names of combined columns."""


@dataclass(frozen=True)
class Learned:
    """The plan, the training data with its cross-fitted columns, and the entries of the report.

    ``told`` holds name, kind, cardinality, ``from`` (source columns) and ``how`` of every feature; ``left_out`` the
    reason by column, by column and date part, or by feature.
    """

    plan: FeaturePlan
    data: TrainingData
    told: list[dict[str, Any]]
    left_out: dict[str, str]


@dataclass
class _Progress:
    """The state of the columns after the steps so far."""

    data: TrainingData
    left_out: dict[str, str] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    consumed: set[str] = field(default_factory=set)
    by_fold: dict[int, set[str]] = field(default_factory=dict)
    made: dict[str, None] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    past: set[str] = field(default_factory=set)
    """Columns replaced by their lags and rolling aggregates: known too late for the row itself."""

    def add(self, step: Any, fitted: FittedStep) -> None:
        """Add the result of a step."""
        for operation in fitted.operations:
            self._tell(operation, fitted.how)
            for output in operation.outputs:
                if output.name not in operation.inputs:
                    self.made.setdefault(output.name)
                self.consumed.discard(output.name)
                if output.name in operation.inputs:
                    self.named.add(output.name)
        self._choose(fitted)
        if step is not None:
            self.consumed.update(step.stands_for)
            self.named.update(step.stands_for)
        if isinstance(step, Lag | Rolling):
            self.past.add(step.value)
        self.left_out.update(fitted.dropped)
        self.consumed.update(fitted.dropped)
        self.data = self.data.add(fitted)

    def _choose(self, fitted: FittedStep) -> None:
        """Keep what is no feature where a fold judges; it differs from the plan once a step has seen the target."""
        if fitted.dropped_by_fold and not self.by_fold:
            self.by_fold = {fold: set(self.consumed) for fold in fitted.dropped_by_fold}
        for fold, names in self.by_fold.items():
            names.update(fitted.dropped_by_fold.get(fold, fitted.dropped))

    def _tell(self, operation: Operation, how: Mapping[str, str]) -> None:
        before = [self.how[name] for name in operation.inputs if name in self.how]
        for output in operation.outputs:
            told = how.get(output.name, operation.kind)
            self.how[output.name] = "; ".join([*(before if len(operation.inputs) == 1 else ()), told])

    def features(self, sources: Iterable[str]) -> list[str]:
        """Return the current features: source columns first, each followed by the columns made from it."""
        return [name for name in self._ordered(sources) if name not in self.consumed]

    def features_by_fold(self, sources: Iterable[str]) -> dict[int, tuple[str, ...]]:
        """Return the features by judging fold; empty while they equal those of the plan."""
        ordered = self._ordered(sources) if self.by_fold else []
        return {fold: tuple(name for name in ordered if name not in gone) for fold, gone in self.by_fold.items()}

    def _ordered(self, sources: Iterable[str]) -> list[str]:
        maker: dict[str, tuple[str, ...]] = {}
        for operation in self.data.operations:
            for output in operation.outputs:
                maker.setdefault(output.name, operation.inputs)
        after: dict[str, list[str]] = {}
        for name in self.made:
            after.setdefault(maker[name][0] if len(maker[name]) == 1 else "", []).append(name)
        ordered: dict[str, None] = {}
        waiting = [*sources, *after.pop("", ())][::-1]
        while waiting:
            name = waiting.pop()
            ordered[name] = None
            waiting += after.pop(name, [])[::-1]
        return list(ordered)


def fit_plan(
    recipe: RowRecipe,
    summary: Mapping[str, ColumnSummary],
    spec: FeatureSpec,
    data: TrainingData,
    enrichment: Enrichment = EMPTY,
) -> Learned:
    """Learn the plan.

    Parameters
    ----------
    summary
        Of every column that comes out of the recipe.
    data
        The training rows, without operations.
    enrichment
        What serving can add to a row; the plan carries what it needs of it.

    Raises
    ------
    DataError
        No column is left.
    SpecError
        A step names a column that is not there, or of another kind.
    """
    sources = [column for column in recipe.kept if summary[column.name].given]
    dead = [column.name for column in recipe.kept if not summary[column.name].given]
    constant = {column.name for column in sources if summary[column.name].constant}
    kinds = {column.name: str(column.kind) for column in sources}
    gone = set(dead)
    progress = _Progress(replace(data, kinds=kinds), left_out=dict.fromkeys(dead, NO_VALUE))
    for step in spec.steps:
        if not step.last:
            _run(step, progress, gone, constant)
    _rest(progress, summary, spec)
    names = [column.name for column in sources]
    for step in spec.steps:
        if step.last:
            _see(progress, names)
            _run(step, progress, gone, constant)
    outputs = _see(progress, names)
    if not outputs:
        raise DataError(
            "no column is left to learn from",
            seen=f"{len(recipe.kept)} columns, all left out",
            expected="at least one column that differs between rows",
            cure="check the source, and 'drop' and clean.kinds in the DAG file",
            faults=[f"column {name!r}: {reason}" for name, reason in progress.left_out.items()],
        )
    plan = FeaturePlan(recipe, progress.data.operations, outputs)
    plan = replace(plan, enrichment=enrichment.subset(plan.sources))
    origins = _origins(plan)
    told = [
        {**entry, "from": origins[entry["name"]], "how": progress.how.get(entry["name"], "as it is")}
        for entry in plan.describe()
    ]
    return Learned(plan, progress.data, told, progress.left_out)


def _see(progress: _Progress, sources: list[str]) -> tuple[str, ...]:
    """Update the data with the current features, and return them."""
    outputs = tuple(progress.features(sources))
    progress.data = replace(progress.data, outputs=outputs, outputs_by_fold=progress.features_by_fold(sources))
    return outputs


def _origins(plan: FeaturePlan) -> dict[str, list[str]]:
    """Return the source columns behind every column of the plan."""
    origins = {name: [name] for name in plan.sources}
    for operation in plan.operations:
        found = list(dict.fromkeys(name for one in operation.inputs for name in origins.get(one, ())))
        origins.update({output.name: found for output in operation.outputs})
    return origins


def _run(step: Any, progress: _Progress, dead: set[str], constant: set[str]) -> None:
    """Fit a declared step on the columns with values; for a whole kind, only on those that vary and are no lags."""
    columns = getattr(step, "columns", None)
    if columns is not None and step.kind != "cross":
        useless = dead | constant | progress.past if isinstance(columns, str) else dead
        names = tuple(name for name in named_columns(columns, progress.data) if name not in useless)
        asked = step.names if isinstance(columns, tuple) else (columns,)
        step = step.model_copy(update={"columns": names})
        if not names:
            progress.left_out[f"{step.kind} of {', '.join(asked)}"] = "no such column with a value in any training row"
            return
    if isinstance(step, Select):
        unknown = [name for name in step.always if name not in progress.data.kinds]
        progress.left_out |= {f"always {name!r} of select": "no feature has this name" for name in unknown}
    empty = [name for name in step.names if name in dead]
    if empty:
        progress.left_out[f"{step.kind} of {', '.join(step.names)}"] = f"{empty[0]}: {NO_VALUE}"
        if step.kind in BETWEEN:
            dead.add(BETWEEN[step.kind].join(step.names))  # steps that read it are left out too
        return
    progress.add(step, fit_step(step, progress.data))


def _rest(progress: _Progress, summary: Mapping[str, ColumnSummary], spec: FeatureSpec) -> None:
    """Treat the columns that no step names, and encode the remaining categories."""
    taken = {*progress.data.kinds, *summary}
    operations: list[Operation] = []
    how: dict[str, str] = {}
    mine: dict[str, None] = {}
    for name, kind in list(progress.data.kinds.items()):
        if name in progress.consumed:
            continue
        if name in progress.named or name in progress.made:
            if kind not in ("category", "date"):
                continue
            treatment = _coded(name, spec) if kind == "category" else Treatment()
        elif not spec.auto:
            treatment = Treatment(left_out={name: "no step names it, and features.auto is off"})
        elif kind == "number":
            treatment = treat_number(name, summary[name])
        elif kind == "category":
            treatment = treat_category(name, summary[name], spec)
        else:
            treatment = treat_date(name, summary[name], spec, taken)
        for step in treatment.steps:
            progress.add(step, fit_step(step, progress.data))
        operations += treatment.operations
        how |= treatment.how
        if treatment.itself:
            mine[name] = None
        progress.left_out.update(treatment.left_out)
        (progress.consumed.discard if treatment.itself else progress.consumed.add)(name)
    progress.add(None, FittedStep(tuple(operations), how=how))
    if spec.auto:
        mine |= dict.fromkeys(output.name for operation in operations for output in operation.outputs)
        progress.add(None, FittedStep(dropped=copies(progress.data, list(mine))))


def _coded(name: str, spec: FeatureSpec) -> Treatment:
    return Treatment(steps=(Codes(columns=(name,), max_levels=spec.max_categories, rare_count=spec.rare_count),))
