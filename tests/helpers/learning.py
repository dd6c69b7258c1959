"""Small learning tasks for the tests of algorithms, tuning, ensembling and evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from optuna.distributions import BaseDistribution, FloatDistribution

from pipelines import stages, storage
from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.inference.members.linear import LinearMember, design_matrix
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.tuning.crossval import cross_validate

METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def make_columns(task: str = "binary", rows: int = 600, seed: int = 0, folds: int = 4) -> Columns:
    """Two useful numbers (one with NaN), one noise number, one useful code column with -1 for missing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4))
    X[:, 3] = rng.integers(-1, 4, rows)
    signal = X[:, 0] + 0.7 * X[:, 1] ** 2 + 0.8 * (X[:, 3] == 2) + rng.normal(scale=0.6, size=rows)
    X[rng.random(rows) < 0.1, 1] = np.nan
    if task == "regression":
        y, classes = 10.0 * signal, ()
    else:
        classes = ("no", "yes") if task == "binary" else ("a", "b", "c")
        y = np.searchsorted(np.quantile(signal, np.linspace(0, 1, len(classes) + 1)[1:-1]), signal).astype(np.float64)
    shape = TaskInfo(task, METRIC[task], len(classes), rows, ("number",) * 3 + ("code",), (0, 0, 0, 5))
    fold = (np.arange(rows) % folds).astype(np.int8)
    return Columns(X, y, np.ones(rows), fold, shape, ("x0", "x1", "x2", "c"), classes)


def make_night(task: str = "binary", **night: Any) -> Night:
    """A night of a model on the columns of ``raw_table``."""
    positive = "yes" if task == "binary" else None
    model = ModelSpec(name="demo", task=task, target="label", positive=positive, key=("id",))  # type: ignore[arg-type]
    return Night(**{"model": model, "night": "n1", "as_of": datetime(2026, 3, 1, tzinfo=UTC), **night})


def raw_table(task: str = "binary", rows: int = 600, seed: int = 0) -> pa.Table:
    """The same task as raw text, sampled: dirty tokens, stamps, a tenth sealed."""
    columns = make_columns(task, rows, seed)
    texts: dict[str, list[str | None]] = {"id": [str(row) for row in range(rows)]}
    for index, name in enumerate(columns.features):
        texts[name] = [" ?" if np.isnan(value) else f"{value:.6g}" for value in columns.X[:, index]]
    texts["c"] = [" n/a" if code < 0 else f"level {int(code)}" for code in columns.X[:, 3]]
    labels = columns.classes
    texts["label"] = [f" {labels[int(value)]}" if labels else f"{value:.6g}" for value in columns.y]
    table = pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})
    stamps = {
        "_key": pa.array(texts["id"], pa.string()),
        "_time": pa.nulls(rows, pa.timestamp("us", "UTC")),
        "_sealed": pa.array(np.arange(rows) % 10 == 3),
        "_weight": pa.array(np.ones(rows)),
    }
    for name, values in stamps.items():
        table = table.append_column(name, values)
    return table


def artifact(stage: str, path: Path, **meta: Any) -> Artifact:
    """An input that was not published: for stages called directly."""
    return Artifact(ref=Ref(uri="x", digest="d", stage=stage, meta=meta), path=path)


def data_stages(root: Path, settings: Settings, night: Night, raw: pa.Table) -> dict[str, Artifact]:
    """Run clean, split and features; return their outputs as inputs by name."""
    storage.write_table(raw, root / "sample" / "sampled")
    made: dict[str, Artifact] = {}

    def do(name: str, stage: str, **inputs: Artifact) -> None:
        (root / name).mkdir()
        known = stages.get(stage)
        outcome = known.load().run(known.spec_class()(), night=night, settings=settings, out=root / name, **inputs)
        made[name] = artifact(name, root / name, **outcome.meta)

    do("cleaned", "clean", sampled=artifact("sample", root / "sample"))
    do("split", "split", cleaned=made["cleaned"])
    do("features", "features", split=made["split"], cleaned=made["cleaned"])
    return made


def found_trials(columns: Columns, names: Iterable[str], given: Mapping[str, Params] | None = None) -> list[Candidate]:
    """Cross-validate each family once, its defaults changed as ``given`` for it; the best is the first."""
    found = []
    for number, name in enumerate(names):
        learner = family(name)
        raw: Params = {**learner.default(columns.shape), **(given or {}).get(name, {})}
        trial = cross_validate(learner, raw, columns, seed=0)
        found.append(Candidate(number, name, learner.settle(raw, trial.learned), trial.oof, trial.loss, 0.1, raw))
    return sorted(found, key=lambda candidate: candidate.loss)


class FakeFamily(Family):
    """A family that does as told: ``mode`` is good, raise, nan, constant, hang, die, greedy, gpu or gpu_broken."""

    name: ClassVar[str] = "fake"
    needs = ()

    def __init__(self, mode: str) -> None:
        self.mode = mode
        if mode.startswith("gpu"):
            self.devices = ("cpu", "gpu")  # type: ignore[misc]  # as told

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        return ({"strength": 1.0},)

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        return {"strength": FloatDistribution(0.1, 10.0, log=True)}

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        if self.mode == "raise":
            raise RuntimeError("planted failure")
        if self.mode == "hang":
            time.sleep(600)
        if self.mode == "die":
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "gpu_broken" and context.device == "gpu":
            raise RuntimeError("no kernel image is available")
        if self.mode == "greedy":
            np.ones(3 * 2**27)
        context.limit.check()
        member = logistic(train, shape, float(params["strength"]))
        if self.mode == "nan":
            member.intercept = member.intercept * np.nan
        if self.mode == "constant":
            member.coefficients = member.coefficients * 0.0
        return Fitted(self.name, member)


def logistic(train: Dataset, shape: TaskInfo, strength: float) -> LinearMember:
    """Fit two classes by a few Newton steps: without scikit-learn, which takes a new process seconds to import."""
    adapters = learn_adapters({"numbers": "straight", "pieces": 4, "levels": 10}, train.X, shape)
    design = np.column_stack([design_matrix(adapters, train.X), np.ones(len(train.y))])
    penalty = np.diag([strength] * (design.shape[1] - 1) + [1e-9])
    found = np.zeros(design.shape[1])
    for _ in range(6):
        chance = 1.0 / (1.0 + np.exp(-design @ found))
        slope = design.T @ (train.y - chance) - penalty @ found
        found += np.linalg.solve((design * (chance * (1.0 - chance))[:, None]).T @ design + penalty, slope)
    return LinearMember(adapters, found[:-1, None].copy(), found[-1:].copy(), [0, 1], 2)
