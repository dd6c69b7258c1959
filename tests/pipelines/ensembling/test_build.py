from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from learning import FakeFamily, found_trials, make_columns

from pipelines.algorithms.base import Dataset, FitContext, Fitted, Params, TaskInfo
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.build import build
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.fitting import fit_candidate as fit_module
from pipelines.ensembling.fitting.refit import refit
from pipelines.ensembling.report import describe
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import DataError
from pipelines.tuning.crossval import cross_validate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def columns() -> Columns:
    return make_columns()


@pytest.fixture(scope="module")
def candidates(columns: Columns) -> list[Candidate]:
    return found_trials(columns, ("lightgbm", "extra_trees", "linear"))


def test_builds_within_the_members_and_reports(candidates: list[Candidate], columns: Columns) -> None:
    built = build(candidates, columns, EnsembleSpec(), seed=0, cores=2, seconds=None)
    facts = describe(built, columns)
    weights = built.combine["weights"]
    assert weights == sorted(weights, reverse=True)
    assert len(facts["members"]) == len(weights) >= 1
    best = max(member["score"] for member in facts["members"])
    assert facts["score"][facts["kind"]] >= best - 0.01


@pytest.mark.fault
@pytest.mark.parametrize("how", ["raises", "nan"])
def test_a_refit_that_fails_is_left_out_and_named(
    how: str, candidates: list[Candidate], columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = candidates[0].family

    class Broken:
        def fit(self, *args: object, **options: object) -> object:
            if how == "raises":
                raise RuntimeError("planted failure")
            fitted = family("linear").fit(
                family("linear").default(columns.shape), columns.whole(), None, columns.shape, FitContext()
            )
            fitted.member.intercept = fitted.member.intercept * np.nan  # type: ignore[attr-defined]
            return fitted

    monkeypatch.setattr(fit_module, "family", lambda name: Broken() if name == bad else family(name))
    built = build(candidates, columns, EnsembleSpec(), seed=0, cores=2, seconds=None)
    assert bad not in [candidate.family for candidate, _ in built.members]
    assert [entry["family"] for entry in built.left_out] == [bad]
    assert ("planted failure" if how == "raises" else "not finite") in built.left_out[0]["why"]
    monkeypatch.setattr(fit_module, "family", lambda name: Broken())
    with pytest.raises(DataError, match="no member is left"):
        build(candidates, columns, EnsembleSpec(), seed=0, cores=2, seconds=None)


class Recorded(FakeFamily):
    """A family whose fits are written down with the device that they were to use."""

    def __init__(self, mode: str, asked: list[str]) -> None:
        super().__init__(mode)
        self.asked = asked

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        self.asked.append(context.device)
        return super().fit(params, train, valid, shape, context)


@pytest.mark.parametrize(
    ("mode", "gpus", "asked", "used", "notice"),
    [
        ("gpu", 1, ["gpu"], "gpu", ""),
        ("gpu", 0, ["cpu"], "cpu", "no GPU is here for trial 1 linear"),
        ("gpu_broken", 1, ["gpu", "cpu"], "cpu", "no kernel image is available; so it was fitted on the cpu"),
        ("good", 1, ["cpu"], "cpu", ""),
    ],
)
def test_a_refit_asks_for_the_device_of_its_trial(
    mode: str,
    gpus: int,
    asked: list[str],
    used: str,
    notice: str,
    columns: Columns,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With a declared number of GPUs; a family that can use none is not offered one, wherever its trial says it ran."""
    params = {"strength": 1.0}
    found = cross_validate(FakeFamily(mode), params, columns, seed=0)
    trial = Candidate(0, "linear", params, found.oof, found.loss, 1.0, params, device="gpu")
    devices: list[str] = []
    monkeypatch.setattr(fit_module, "family", lambda name: Recorded(mode, devices))
    bare = EnsembleSpec(methods=("average",), compress=())
    built = build([trial], columns, bare, seed=0, cores=2, seconds=None, gpus=gpus)
    assert devices == asked
    assert [member["device"] for member in describe(built, columns)["members"]] == [used]
    lines = caplog.text
    assert notice in lines
    assert ("cpu" in lines) == bool(notice)
    devices.clear()
    folds = build(
        [trial], columns, bare.model_copy(update={"refit": "folds"}), seed=0, cores=2, seconds=None, gpus=gpus
    )
    assert [(candidate.device, len(node.parts)) for candidate, node in folds.members] == [(used, 4)]
    assert sorted(devices) == sorted(asked * 4)


def test_refits_have_the_gpu_one_after_the_other(columns: Columns, monkeypatch: pytest.MonkeyPatch) -> None:
    now, most = [0], [0]

    class Alone(FakeFamily):
        def fit(self, *args: Any) -> Fitted:
            now[0] += 1
            most[0] = max(most[0], now[0])
            time.sleep(0.05)
            now[0] -= 1
            return super().fit(*args)

    params = {"strength": 1.0}
    found = cross_validate(FakeFamily("gpu"), params, columns, seed=0)
    trials = [
        Candidate(number, "linear", params, found.oof, found.loss, 1.0, params, device="gpu") for number in range(4)
    ]
    monkeypatch.setattr(fit_module, "family", lambda name: Alone("gpu"))
    fitted, failed = refit(trials, columns, seed=0, cores=4, threads=1)
    assert (sorted(fitted), failed, most) == ([0, 1, 2, 3], {}, [1])


def test_a_refit_that_the_budget_cannot_pay_is_left_out(candidates: list[Candidate], columns: Columns) -> None:
    slow = [dataclasses.replace(candidate, refit_seconds=50.0) for candidate in candidates]
    built = build(slow, columns, EnsembleSpec(), seed=0, cores=2, seconds=5.0)
    assert len(built.members) == 1
    if built.left_out:
        assert "more than the budget has left" in built.left_out[0]["why"]


def test_derived_methods_and_a_student_end_within_the_seconds(columns: Columns, candidates: list[Candidate]) -> None:
    """Each fit is estimated at no time and takes long: what is late is cut and named, the trials make the model."""
    quick = [dataclasses.replace(c, raw=c.params, refit_seconds=0.001) for c in candidates]
    methods = ("weighted_average", "bagging", "boosting", "hybrid", "cascade", "stacking_features", "two_layers")
    spec = EnsembleSpec(methods=methods, bags=50, compress=("members", "trees", "quantise", "distil"))
    started = time.time()
    built = build(quick, columns, spec, seed=0, cores=1, seconds=1.0)
    assert time.time() - started < 3.0
    assert built.members
    late = {entry.get("method") for entry in built.left_out if "budget" in entry["why"]}
    assert {"bagging", "two_layers"} <= late, built.left_out
