from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score
from training import training_data

from pipelines.errors import SpecError
from pipelines.features.fitting.boruta import shadow_hits
from pipelines.features.fitting.data import TrainingData
from pipelines.features.fitting.information import binned, information
from pipelines.features.fitting.select import fit_select
from pipelines.features.spec import FeatureSpec, Pca, Select

pytestmark = pytest.mark.slow

ROWS = 400


def features(folder: Path, classes: tuple[str, ...] | None = ("no", "yes")) -> TrainingData:
    """Two features that tell of the target, a copy of one, three that do not, one constant."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"noise{index}": rng.normal(size=ROWS) for index in range(3)})
    frame["good"], frame["bent"] = rng.normal(size=ROWS), rng.normal(size=ROWS)
    frame["copy"] = 2.0 * frame["good"] + rng.normal(scale=1e-3, size=ROWS)
    frame["same"] = 1.0
    frame.loc[::9, "noise1"] = np.nan
    signal = frame["good"] + 1.5 * np.abs(frame["bent"]) + rng.normal(scale=0.3, size=ROWS)
    y = list(signal) if classes is None else [classes[int(value)] for value in signal > signal.median()]
    data = training_data(folder, frame, y, list(np.arange(ROWS) % 4), classes=classes, rows_per_part=150)
    return dataclasses.replace(data, outputs=tuple(frame.columns))


def test_variance_and_correlation_leave_out_what_repeats_or_stands_still(tmp_path: Path) -> None:
    data = features(tmp_path)
    little = fit_select(Select(by="variance"), data)
    assert set(little.dropped) == {"same"}
    assert not little.dropped_by_fold
    alike = fit_select(Select(by="correlation"), data)
    assert set(alike.dropped) == {"copy"}
    assert "with 'good', above 0.98" in alike.dropped["copy"]
    assert set(fit_select(Select(by="correlation", always=("copy",)), data).dropped) == {"good"}
    assert not fit_select(Select(by="correlation", always=("copy", "good")), data).dropped
    assert set(fit_select(Select(by="variance", limit=1e6, always=("good", "same")), data).dropped) == (
        set(data.outputs) - {"good", "same"}
    )


@pytest.mark.parametrize("by", ["mutual_information", "shadow"])
@pytest.mark.parametrize("classes", [None, ("no", "yes")])
def test_what_tells_of_the_target_stays(tmp_path: Path, by: str, classes: tuple[str, ...] | None) -> None:
    data = features(tmp_path, classes)
    fitted = fit_select(Select(by=by, always=("same",)), data)  # type: ignore[arg-type]
    assert {"noise0", "noise1", "noise2"} <= set(fitted.dropped)
    assert not {"good", "bent", "same"} & set(fitted.dropped)
    assert sorted(fitted.dropped_by_fold) == [0, 1, 2, 3]
    again = fit_select(Select(by=by, always=("same",)), data)  # type: ignore[arg-type]
    assert again == fitted
    two = fit_select(Select(by=by, most=2), data)  # type: ignore[arg-type]
    assert len(data.outputs) - len(two.dropped) == 2


def test_a_fold_s_own_labels_have_no_part_in_its_choice(tmp_path: Path) -> None:
    data = features(tmp_path / "a")
    flipped = ["no" if value == (row % 4 != 2) else "yes" for row, value in enumerate(data.y())]
    frame = pd.DataFrame({name: data.column(name) for name in data.outputs})
    other = training_data(
        tmp_path / "b", frame, flipped, list(np.arange(ROWS) % 4), classes=("no", "yes"), rows_per_part=150
    )
    other = dataclasses.replace(other, outputs=data.outputs)
    for step in (Select(by="mutual_information", limit=0.0), Select(by="shadow", limit=0.0)):
        first, second = fit_select(step, data), fit_select(step, other)
        assert set(first.dropped_by_fold[2]) == set(second.dropped_by_fold[2])


def test_nothing_that_passes_still_leaves_the_best(tmp_path: Path) -> None:
    data = features(tmp_path)
    fitted = fit_select(Select(by="mutual_information", limit=50.0), data)
    assert len(data.outputs) - len(fitted.dropped) == 1
    assert "good" not in fitted.dropped or "bent" not in fitted.dropped or "copy" not in fitted.dropped


def test_information_is_that_of_scikit_learn_less_its_bias() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 5, 3000)
    b = (a + rng.integers(0, 3, 3000)) % 5
    found = information(a, b, np.full(3000, 7.0))
    cells = len(np.unique(a * 5 + b))
    assert found.nats == pytest.approx(mutual_info_score(a, b) - (cells - 9) / 6000, abs=1e-12)
    above = 0
    for _ in range(300):
        told = information(rng.integers(0, 6, 400), rng.integers(0, 2, 400), rng.uniform(0.5, 1.5, 400))
        above += told.nats > told.chance
    assert above <= 3
    assert information(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0)).nats == 0.0


def test_bins_keep_the_values_of_few_and_quantiles_of_many() -> None:
    few = binned(np.array([3.0, np.nan, 1.0, 3.0]))
    assert few.tolist() == [2, 0, 1, 2]
    many = binned(np.random.default_rng(0).normal(size=1600))
    assert np.bincount(many)[1:].tolist() == [100] * 16
    codes = binned(np.r_[np.arange(300.0), np.zeros(5), np.ones(4)], code=True)
    assert len(np.unique(codes)) == 65
    assert binned(np.full(3, np.nan)).tolist() == [0, 0, 0]


def test_shadows_find_each_task_s_signal() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 6))
    y = (X[:, 2] > 0.4).astype(float) + (X[:, 2] > -0.4)
    for classes, labels in ((3, y), (2, (y > 0).astype(float)), (0, X[:, 2] + 0.1 * X[:, 0])):
        share, score = shadow_hits(X, labels, np.ones(300), classes, seed=0)
        assert share[2] == 1.0
        assert score.argmax() == 2
        assert share[[1, 3, 4, 5]].max() <= 0.5


def test_wrong_settings_say_what_would_be_right() -> None:
    with pytest.raises(SpecError, match="ranks nothing"):
        Select(by="variance", most=3)
    with pytest.raises(SpecError, match="above 1"):
        Select(by="correlation", limit=1.5)
    with pytest.raises(SpecError, match="put it before Select"):
        FeatureSpec(steps=(Select(by="shadow"), Pca()))
    assert FeatureSpec(steps=(Pca(), Select(by="shadow"), Select(by="correlation"))).steps
