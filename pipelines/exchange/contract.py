"""The schema of an imported model: what a caller sends, how that becomes the model's input, what its output means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.errors import SpecError
from pipelines.inference.operations.base import Operation, Output
from pipelines.inference.operations.categorical import Numbered
from pipelines.inference.operations.dates_ops import DateParts
from pipelines.inference.operations.numeric import Fill
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.cells import cell_text
from pipelines.inference.recipe.number_parsing import Change
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.metrics import MetricName
from pipelines.spec import ModelSpec, PrivateRule, Spec

MAX_BYTES = 4 << 20
PREDICTIONS = ("prediction", "probability")
"""Columns of the samples that hold what is expected."""
NO_CODE = -1.0
"""What the model gets for a category that is missing or not among the levels, unless ``unknown`` names one."""


class ColumnSpec(Spec):
    """One column that callers send."""

    name: Annotated[str, Field(min_length=1, max_length=250)]
    """As callers write it."""
    kind: Literal["number", "category", "date"] = "number"
    """The model gets a number as it is, a category as the position of its level (0 is the first) or as its text, a date
    as days since 1970-01-01 UTC."""
    levels: tuple[str, ...] = ()
    """Of a category: all of them, in the order that the model knows them in."""
    unknown: str | None = None
    """Of a category: the level that a missing or unlisted one is taken for; default: the position -1, or an empty
    text."""
    fill: float | None = None
    """Of a number or date: what the model gets where it is missing; default: NaN."""
    low: float | None = None
    """Of a number: values below are raised to it …"""
    high: float | None = None
    """… and values above are lowered to it."""
    formats: tuple[str, ...] = ()
    """Of a date: ways of writing besides ISO 8601, such as ``%d.%m.%Y``."""
    optional: bool = False
    """A row may lack the column; it is missing then."""

    @field_validator("levels", mode="before")
    @classmethod
    def _texts(cls, levels: Any) -> Any:
        return as_texts(levels)

    @field_validator("unknown", mode="before")
    @classmethod
    def _text(cls, level: Any) -> Any:
        return None if level is None else as_texts([level])[0]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "category" and not self.levels:
            raise ValueError(f"the category {self.name!r} needs 'levels', all its values in the order the model knows")
        if self.kind != "category" and (self.levels or self.unknown is not None):
            raise ValueError(f"{self.name!r} is a {self.kind}: 'levels' and 'unknown' are for categories")
        if self.unknown is not None and self.unknown not in self.levels:
            raise ValueError(f"'unknown' of {self.name!r} is {self.unknown!r}, which is none of its levels")
        if len(set(self.levels)) < len(self.levels):
            raise ValueError(f"a level of {self.name!r} stands twice")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"'low' of {self.name!r} is above its 'high'")
        return self


class InputSpec(Spec):
    """One input of an ONNX graph."""

    name: str
    """As the graph has it."""
    columns: tuple[str, ...]
    """Columns that it takes, in order."""


class OutputSpec(Spec):
    """The output of the model that is the prediction."""

    name: str | None = None
    """As an ONNX graph has it; default: its only output that can be one."""
    scores: Literal["probabilities", "logits"] = "probabilities"
    """What the output holds for classes: probabilities, or scores that a softmax (one score: a sigmoid) makes
    probabilities."""


class Contract(Spec):
    """The schema file of an import."""

    task: Literal["binary", "multiclass", "regression"]
    """What the model predicts."""
    columns: Annotated[tuple[ColumnSpec, ...], Field(min_length=1, max_length=10_000)]
    """What callers send, in the order that the model takes it."""
    classes: tuple[str, ...] = ()
    """Of a classification: all labels, in the order of the model's scores."""
    positive: str | None = None
    """Binary: the label whose probability is reported, and that a single score is of; default: the second class."""
    target: str = "target"
    """Name of the column with the label in tables that the model is evaluated on."""
    key: tuple[str, ...] = ()
    """Columns that identify a row; callers may send them, and batches hand them back."""
    inputs: tuple[InputSpec, ...] = ()
    """Inputs of an ONNX graph; default: one that takes all columns in order, or one per column, named as that is."""
    output: OutputSpec = Field(default_factory=OutputSpec)
    """Its output that is the prediction."""
    metric: MetricName | None = None
    """Metric that the model is judged by; default: by task."""
    private: dict[str, PrivateRule] = Field(default_factory=dict)
    """Columns that the prediction log holds as a keyed hash (``hash``) or not at all (``drop``)."""
    owner: str = "data-engineering"
    """Who is asked about the model."""

    @field_validator("classes", mode="before")
    @classmethod
    def _texts(cls, labels: Any) -> Any:
        return as_texts(labels)

    @field_validator("positive", mode="before")
    @classmethod
    def _text(cls, label: Any) -> Any:
        return None if label is None else as_texts([label])[0]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [column.name for column in self.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"columns stand twice: {', '.join(twice)}")
        if reserved := sorted(set(PREDICTIONS) & set(names)):
            raise ValueError(f"{', '.join(reserved)} is what the samples name a prediction: name the column otherwise")
        if self.target in names or set(self.key) & set(names):
            raise ValueError("target and key are no columns that the model reads")
        least = {"binary": 2, "multiclass": 2, "regression": 0}[self.task]
        if (self.task == "binary" and len(self.classes) != least) or len(self.classes) < least:
            raise ValueError(f"a {self.task} model needs 'classes', its labels in the order of its scores")
        if self.task == "regression" and self.classes:
            raise ValueError("a regression has no classes")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class stands twice")
        if self.positive is not None and (self.task != "binary" or self.positive not in self.classes):
            raise ValueError(f"positive {self.positive!r} is none of the classes of a binary model")
        if unknown := sorted({name for each in self.inputs for name in each.columns} - set(names)):
            raise ValueError(f"inputs name columns that there are not: {', '.join(unknown)}")
        return self

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def positive_label(self) -> str | None:
        """The positive label in force."""
        return (self.positive or self.classes[1]) if self.task == "binary" else None

    def model_spec(self, name: str) -> ModelSpec:
        """Return what the ledger knows of the model."""
        return ModelSpec(
            name=name,
            task=self.task,
            target=self.target,
            positive=self.positive_label,
            metric=self.metric,
            key=self.key,
            private=self.private,
            owner=self.owner,
        )

    def plan(self) -> FeaturePlan:
        """Return how a raw row becomes the numbers that the model takes, in the order of its columns."""
        read = [
            Column(
                each.name,
                each.kind,
                each.formats,
                optional=each.optional,
                change=Change(clip=(each.low, each.high)) if (each.low, each.high) != (None, None) else Change(),
            )
            for each in self.columns
        ]
        dropped = [Column(name, "dropped") for name in (*self.key, self.target)]
        operations = tuple(operation for each in self.columns for operation in _operations(each))
        return FeaturePlan(RowRecipe((*read, *dropped)), operations, tuple(self.names))

    def profile(self) -> dict[str, dict[str, Any]]:
        """Return what the serve schema tells of the columns."""
        return {each.name: {"levels": list(each.levels)} for each in self.columns if each.kind == "category"}


def as_texts(values: Any) -> Any:
    """Return labels as the texts that rows are compared by; YAML's bare yes and no are no texts."""
    if not isinstance(values, list | tuple):
        return values
    if any(isinstance(value, bool) for value in values):
        raise ValueError("holds true or false, which YAML also reads from bare yes and no: write them in quotes")
    return tuple(str(cell_text(value)) for value in values)


def _operations(column: ColumnSpec) -> list[Operation]:
    name = column.name
    if column.kind == "category":
        other = NO_CODE if column.unknown is None else float(column.levels.index(column.unknown))
        positions = tuple(float(index) for index in range(len(column.levels)))
        made = Output(name, "code", len(column.levels))
        return [Numbered((name,), (made,), column.levels, positions, other, other)]
    days: list[Operation] = [DateParts((name,), (Output(name),), ("elapsed_days",), 0)] if column.kind == "date" else []
    return [*days, *([] if column.fill is None else [Fill((name,), (Output(name),), column.fill)])]


def read_contract(path: Path, task: str | None = None) -> Contract:
    """Read a schema file, JSON or YAML.

    Parameters
    ----------
    task
        Stands in for what the file says, or lacks.

    Raises
    ------
    SpecError
        It is no such file; all faults at once.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError("the schema file is too large", where=str(path), expected=f"at most {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("the schema file cannot be read", where=str(path), seen=error) from None
    content = _parsed(path, text)
    if not isinstance(content, dict):
        raise SpecError(
            "the schema file holds no object",
            where=str(path),
            seen=type(content).__name__,
            expected="task, columns, classes …: docs/guides/import-and-export.md",
        )
    try:
        return Contract(**(content | ({} if task is None else {"task": task})))
    except SpecError as error:
        raise SpecError(
            error.what.replace("Contract", "the schema file"),
            where=str(path),
            expected="the fields in docs/guides/import-and-export.md",
            cure="correct the schema file",
            faults=error.faults,
        ) from None


def _parsed(path: Path, text: str) -> Any:
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError("the schema file is no JSON", where=str(path), seen=error) from None
    import yaml  # type: ignore[import-untyped]  # its types are a package of their own

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError("the schema file is no YAML", where=str(path), seen=str(error)[:500]) from None
