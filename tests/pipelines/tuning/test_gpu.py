"""On a real GPU; elsewhere these are skipped, and a declared GPU stands in for it in the other tests."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from learning import make_columns
from searching import conductor_for, run_on_ray

from pipelines.algorithms import xgboost as xgboost_module
from pipelines.algorithms.base import FitContext, Fitted, Limit
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.clusters import visible_gpus
from pipelines.ensembling.build import build
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.report import describe
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.members.catboost import CatBoostMember
from pipelines.metrics import METRICS
from pipelines.settings import Settings

pytestmark = pytest.mark.skipif(
    not (visible_gpus() and xgboost.build_info()["USE_CUDA"]),
    reason="no GPU here, or no environment for one (make env LOCK=requirements-gpu.lock)",
)
ON_GPU = ("xgboost", "catboost")


def fit(name: str, columns: Columns, device: str, limit: Limit | None = None, **params: Any) -> Fitted:
    learner = family(name)
    return learner.fit(
        {**learner.default(columns.shape), **params},
        columns.whole(),
        None,
        columns.shape,
        FitContext(limit=limit or Limit(), device=device),
    )


@pytest.mark.parametrize("name", ON_GPU)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_is_fitted_on_the_gpu_is_as_good_and_predicts_as_its_library(
    name: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, fresh = make_columns(task, rows=20_000), make_columns(task, rows=5_000, seed=1)
    boosters: list[Any] = []
    export = xgboost_module.export
    monkeypatch.setattr(
        xgboost_module, "export", lambda booster, *rest: boosters.append(booster) or export(booster, *rest)
    )
    on_gpu, on_cpu = (fit(name, columns, device, iterations=100) for device in ("gpu", "cpu"))
    losses = [
        METRICS["log_loss" if columns.classes else "rmse"].loss(fresh.y, fitted.predict(fresh.X), fresh.w)
        for fitted in (on_gpu, on_cpu)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
    if name == "catboost":
        assert isinstance(on_gpu.member, CatBoostMember)
        assert on_gpu.member.model.get_all_params()["task_type"] == "GPU"
        return
    assert '"device":"cuda:0"' in boosters[0].save_config()
    boosters[0].set_param({"device": "cpu"})
    matrix = xgboost.DMatrix(
        xgboost_module._input(fresh.X, [3]), feature_types=["q", "q", "q", "c"], enable_categorical=True
    )
    y_pred = on_gpu.predict(fresh.X)
    np.testing.assert_allclose(
        y_pred[:, 1] if task == "binary" else y_pred, boosters[0].predict(matrix), rtol=2e-5, atol=2e-6
    )


@pytest.mark.parametrize("name", ON_GPU)
def test_the_amounts_of_a_skewed_target_are_learned_there_too(name: str) -> None:
    columns = make_columns("regression", rows=5_000)
    columns.y[:] = np.exp(np.minimum(columns.y / 10.0, 3.0))
    shape = columns.shape.__class__(**{**columns.shape.__dict__, "nonnegative": True})
    columns = Columns(**{**columns.__dict__, "shape": shape})
    on_gpu, on_cpu = (fit(name, columns, device, iterations=100, link="log") for device in ("gpu", "cpu"))
    losses = [METRICS["rmse"].loss(columns.y, fitted.predict(columns.X), columns.w) for fitted in (on_gpu, on_cpu)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_xgboost_ends_in_time_there_too() -> None:
    """CatBoost cannot be asked to stop on a GPU: a trial that takes too long there is cut."""
    columns = make_columns("multiclass", rows=200_000)
    fit("xgboost", columns, "gpu", iterations=20)  # what happens but once in a process
    began = time.time()
    fitted = fit("xgboost", columns, "gpu", Limit(soft=began + 3.0), iterations=20_000)
    assert time.time() - began < 6.0
    assert 10 <= fitted.learned["iterations"] < 20_000


def test_a_search_gives_shares_of_the_gpu_and_members_are_refitted_on_it(
    home: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = make_columns(rows=1_000, folds=2)
    families = {name: family(name) for name in (*ON_GPU, "linear")}
    for name in ON_GPU:
        monkeypatch.setattr(type(families[name]), "gpu_rows", 0)
    conductor = conductor_for(tmp_path, families, columns, trials=6, memory_mb=8_000, pruning="none")
    assert run_on_ray(conductor, columns, families, home, gpus=None) == "ray"
    outcomes = conductor.study.outcomes()
    assert [outcome.result.error for outcome in outcomes] == [""] * 6
    ran = Counter((outcome.proposal.family, outcome.result.device) for outcome in outcomes)
    assert set(ran) == {("xgboost", "gpu"), ("catboost", "gpu"), ("linear", "cpu")}
    best = [next(o for o in outcomes if o.proposal.family == name) for name in ON_GPU]
    trials = [
        Candidate(
            outcome.proposal.number,
            outcome.proposal.family,
            families[outcome.proposal.family].settle(outcome.proposal.params, outcome.result.learned),
            np.load(tmp_path / f"{outcome.proposal.number:05d}.npy"),
            outcome.result.loss,
            0.1,
            outcome.proposal.params,
            device="gpu",
        )
        for outcome in best
    ]
    built = build(
        trials,
        columns,
        EnsembleSpec(methods=("average",), compress=()),
        seed=0,
        cores=2,
        seconds=None,
        gpus=visible_gpus(),
    )
    assert {member["device"] for member in describe(built, columns)["members"]} == {"gpu"}
    assert "fitted on the cpu" not in caplog.text
