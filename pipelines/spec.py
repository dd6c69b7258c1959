"""The frozen, typed settings that stand at the top of a DAG file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from pipelines.errors import SpecError
from pipelines.metrics import MetricName, metrics_of

Task = Literal["binary", "multiclass", "regression", "clustering", "reduction"]
PrivateRule = Literal["hash", "drop"]
CLASSIFICATION = frozenset({"binary", "multiclass"})
UNSUPERVISED = frozenset({"clustering", "reduction"})
"""Tasks without a target: rows are put into clusters, or described by fewer numbers."""
PASSWORD = re.compile(r"//[^/@\s]+@")
"""User and password of an address, which no message shows."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
S = TypeVar("S", bound="Spec")


class Spec(BaseModel):
    """Base of every spec: frozen, unknown names refused, all faults reported at once as one SpecError."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise spec_error(type(self).__name__, error, type(self).model_fields) from None

    @model_validator(mode="after")
    def _no_template_marks(self) -> Self:
        if "{{" in self.model_dump_json() and any("{{" in text for text in _texts(self.model_dump())):
            raise ValueError("holds '{{', which Airflow would read as a template; write the text without it")
        return self


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that a mistyped one is nearest to; empty if there is none.

    >>> did_you_mean("trails", ["trials", "families"])
    "; did you mean 'trials'?"
    """
    found = difflib.get_close_matches(name, sorted(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in (*value.keys(), *value.values()) for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return []


def spec_error(name: str, error: ValidationError, known: Iterable[str] = ()) -> SpecError:
    """Turn pydantic's findings into one SpecError: every fault, and the setting that a mistyped one is nearest to."""
    faults = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"]) or "(whole)"
        near = did_you_mean(field, known) if item["type"] == "extra_forbidden" else ""
        seen = f"; seen {PASSWORD.sub('//…@', repr(item.get('input'))):.120}" if item["loc"] else ""
        faults.append(f"{name}.{field}: {item['msg']}{seen}{near}")
    return SpecError(
        f"{name} has {len(faults)} wrong setting{'s' if len(faults) > 1 else ''}",
        where=name,
        expected=f"the fields documented in {name}",
        cure="correct the setting at the top of the DAG file, or the --param that overrides it",
        faults=faults,
    )


class ModelSpec(Spec):
    """What is predicted, from which columns; shared by every stage of the model."""

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    """Name of the model: lower-case letters, digits and underscores."""
    task: Task
    """What the model predicts."""
    target: Annotated[str, Field(validate_default=True)] = ""
    """Column with the label, as named in the source; clustering and reduction have none."""
    positive: str | None = None
    """Binary only: the label (stripped text) whose probability is reported."""
    metric: MetricName | None = None
    """Metric of search and gate; default roc_auc, log_loss, rmse, silhouette or variance_gain by task."""
    key: tuple[str, ...] = ()
    """Columns that identify a row; empty: rows have no identity, equal rows are counted but kept."""
    time: str | None = None
    """Column with the time at which a row happened; makes the model dated: the last labelled days are sealed."""
    zone: str = "UTC"
    """Time zone of times without one, and of dates in file names, in the model's sources: ``Europe/Berlin``."""
    drop: tuple[str, ...] = ()
    """Columns that the model never sees."""
    private: dict[str, PrivateRule] = Field(default_factory=dict)
    """Columns that the prediction log holds as a keyed hash (``hash``) or not at all (``drop``)."""
    seed: int = 0
    """Seed of everything random."""
    owner: str = "data-engineering"
    """Who is asked when a night fails."""

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = did_you_mean(zone, available_timezones())
            raise ValueError(f"no time zone {zone!r}{near}; name one such as 'Europe/Berlin'") from None
        return zone

    @field_validator("target")
    @classmethod
    def _target_by_task(cls, target: str, info: ValidationInfo) -> str:
        task = info.data.get("task", "")
        if task in UNSUPERVISED and target:
            raise ValueError(
                f"a {task} model has no target; leave 'target' out, and name the column in 'drop' if it shall not be "
                "seen"
            )
        if task not in UNSUPERVISED and not target:
            raise ValueError("the model needs 'target', the column with the label; clustering and reduction have none")
        return target

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.task == "binary" and not self.positive:
            raise ValueError("a binary model needs 'positive', the label whose probability is reported")
        if self.task != "binary" and self.positive:
            raise ValueError(f"'positive' is for binary models, this one is {self.task}")
        if self.metric is not None and self.metric not in (able := metrics_of(self.task)):
            raise ValueError(f"metric {self.metric} does not judge a {self.task} model; use one of {able}")
        for column in (*self.key, *([self.time] if self.time else []), *self.drop):
            if self.target and column == self.target:
                raise ValueError(f"column {column!r} is the target and cannot be key, time or dropped")
        self._check_private()
        return self

    def _check_private(self) -> None:
        """Refuse private columns that say nothing, or two things."""
        names: dict[str, str] = {}
        for column in self.private:
            if not column.strip():
                raise ValueError("a private column has no name")
            if (other := names.setdefault(column.strip(), column)) != column:
                raise ValueError(f"private column {column.strip()!r} is named twice, as {other!r} and {column!r}")
            if self.target and column == self.target:
                raise ValueError(f"column {column!r} is the target, which no request has; it cannot be private")
            if column in self.drop and column not in self.key:
                raise ValueError(f"column {column!r} is named twice: what is in 'drop' is never logged")

    @property
    def supervised(self) -> bool:
        """Whether the rows have a label to learn."""
        return self.task not in UNSUPERVISED

    @property
    def classifies(self) -> bool:
        """Whether the label is one of some classes, not a number."""
        return self.task in CLASSIFICATION

    @property
    def judged_by(self) -> MetricName:
        """The metric in force."""
        return self.metric or metrics_of(self.task)[0]


def overlay(spec: S, fields: Mapping[str, Any]) -> S:
    """Return ``spec`` with ``fields`` replaced, validated as if written in the DAG file."""
    return type(spec)(**{**spec.model_dump(), **fields})
