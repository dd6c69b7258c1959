from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import learning
import pytest
from learning import FakeFamily, make_columns

from pipelines.algorithms.base import Dataset, FitContext, Fitted, Params, TaskInfo
from pipelines.clusters import ray_session
from pipelines.ensembling.build import build
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.fitting import fit_candidate, gpu_fits
from pipelines.ensembling.fitting.gpu_fits import gpus_for
from pipelines.ensembling.report import describe
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.settings import Settings
from pipelines.tuning.crossval import cross_validate


class Placed(FakeFamily):
    """Can use a GPU, and appends where each fit was made: device, process, and the GPUs that Ray gave it."""

    def __init__(self, log: str) -> None:
        super().__init__("gpu")
        self.log = log

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        with open(self.log, "a") as stream:
            stream.write(f"{context.device} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
        return super().fit(params, train, valid, shape, context)


def test_only_who_needs_one_asks_the_cluster(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = make_columns(rows=60)

    def joined(*_: Any) -> Any:
        raise AssertionError("the cluster was asked")

    monkeypatch.setattr(gpu_fits, "ray_cluster", joined)
    far = home.model_copy(update={"ray_address": "127.0.0.1:9"})
    for settings, here, wanted in ((home, 0, True), (far, 0, False), (far, 1, True)):
        monkeypatch.setattr(gpu_fits, "visible_gpus", lambda here=here: here)
        with gpus_for(settings, columns, wanted=wanted) as gpus:
            assert gpus == here
    monkeypatch.setattr(gpu_fits, "visible_gpus", lambda: 0)
    with pytest.raises(AssertionError, match="asked"), gpus_for(far, columns, wanted=True):
        pytest.fail("it was not asked")


@pytest.mark.slow
def test_a_refit_goes_to_the_cluster_s_gpu(home: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import cloudpickle

    @contextmanager
    def declared(settings: Settings, store_mb: int) -> Iterator[Any]:
        with ray_session(settings, 100, gpus=1) as ray:
            yield ray

    columns, log, params = make_columns(rows=200, folds=3), tmp_path / "log", {"strength": 1.0}
    found = cross_validate(FakeFamily("gpu"), params, columns, seed=0)
    trials = [
        Candidate(number, "linear", params, found.oof, found.loss, 1.0, params, device=device)
        for number, device in enumerate(("gpu", "cpu"))
    ]
    monkeypatch.setattr(fit_candidate, "family", lambda name: Placed(str(log)))
    monkeypatch.setattr(gpu_fits, "ray_cluster", declared)
    monkeypatch.setattr(gpu_fits, "visible_gpus", lambda: 0)
    bare = EnsembleSpec(methods=("average",), compress=(), refit="folds")
    modules = (learning, sys.modules[__name__])
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        with gpus_for(home.model_copy(update={"ray_address": "h:1"}), columns, wanted=True) as gpus:
            assert gpus == 1
            built = [build([trial], columns, bare, seed=0, cores=2, seconds=None, gpus=gpus) for trial in trials]
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    assert [describe(each, columns)["members"][0]["device"] for each in built] == ["gpu", "cpu"]
    fits = [line.split() for line in log.read_text().splitlines()]
    assert {(device, pid == str(os.getpid())) for device, pid, _ in fits} == {("gpu", False), ("cpu", True)}
    assert {given for device, _, given in fits if device == "gpu"} == {"0"}, "Ray gave it the GPU"
    assert not fit_candidate._elsewhere
