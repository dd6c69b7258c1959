"""The functions a DAG file chains: one per stage, each makes one task and gives its ref."""

from __future__ import annotations

from typing import Any

from airflow.sdk.definitions.xcom_arg import XComArg

from aimass_airflow.operator import StageOperator
from pipelines.spec import Spec


def _stage(name: str, spec: Spec, after: XComArg | None = None, **inputs: XComArg) -> Any:
    task = StageOperator(task_id=name, stage=name, spec=spec, inputs=inputs)
    if after is not None:
        task.set_upstream(after.operator)
    return task.output


def ingest(spec: Spec, *, after: XComArg | None = None) -> Any:
    """Read the sources into one raw snapshot."""
    return _stage("ingest", spec, after)


def sample(spec: Spec, raw: XComArg, *, after: XComArg | None = None) -> Any:
    """Draw the rows to learn from."""
    return _stage("sample", spec, after, raw=raw)


def clean(spec: Spec, sampled: XComArg, *, after: XComArg | None = None) -> Any:
    """Learn and apply the row recipe; hold bad rows back."""
    return _stage("clean", spec, after, sampled=sampled)


def validate(spec: Spec, cleaned: XComArg, *, after: XComArg | None = None) -> Any:
    """Check the cleaned rows against the suite."""
    return _stage("validate", spec, after, cleaned=cleaned)


def split(spec: Spec, cleaned: XComArg, *, after: XComArg | None = None) -> Any:
    """Set the sealed rows apart and fix the folds."""
    return _stage("split", spec, after, cleaned=cleaned)


def features(spec: Spec, parts: XComArg, cleaned: XComArg, *, after: XComArg | None = None) -> Any:
    """Learn the feature plan from the training rows and apply it."""
    return _stage("features", spec, after, split=parts, cleaned=cleaned)


def tune(spec: Spec, table: XComArg, *, after: XComArg | None = None) -> Any:
    """Search families and settings; keep out-of-fold predictions."""
    return _stage("tune", spec, after, features=table)


def ensemble(spec: Spec, trials: XComArg, table: XComArg, cleaned: XComArg, *, after: XComArg | None = None) -> Any:
    """Combine the best trials into a model directory."""
    return _stage("ensemble", spec, after, tune=trials, features=table, cleaned=cleaned)


def evaluate(spec: Spec, model: XComArg, parts: XComArg, *, after: XComArg | None = None) -> Any:
    """Judge the model on sealed rows, against the baseline and the live version."""
    return _stage("evaluate", spec, after, ensemble=model, split=parts)


def register(spec: Spec, model: XComArg, verdict: XComArg, *, after: XComArg | None = None) -> Any:
    """Give the model its version number."""
    return _stage("register", spec, after, ensemble=model, evaluate=verdict)


def package(spec: Spec, version: XComArg, *, after: XComArg | None = None) -> Any:
    """Build the bento; skipped when the live version is kept."""
    return _stage("package", spec, after, register=version)


def deploy(spec: Spec, bento: XComArg, version: XComArg, *, after: XComArg | None = None) -> Any:
    """Put the version into service, proving first that it answers alike."""
    return _stage("deploy", spec, after, package=bento, register=version)
