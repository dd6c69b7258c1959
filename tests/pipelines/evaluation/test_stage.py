from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import judging
import learning
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from pipelines import settings as settings_module
from pipelines.artifacts import Artifact, Ref
from pipelines.errors import DataError, GateError
from pipelines.evaluation.comparison import reference_models
from pipelines.evaluation.comparison.overlap import check_rows
from pipelines.evaluation.report import plots
from pipelines.evaluation.report.reference_distribution import reference
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.evaluation.stage import fingerprint
from pipelines.inference.schema import ServeSchema
from pipelines.settings import Settings

pytestmark = pytest.mark.slow


def rows(keys: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"_key": pd.array(keys, dtype="object")})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_module.load(home=tmp_path_factory.mktemp("home"), cores=2).ensure()


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def judged(request: pytest.FixtureRequest, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One night of each task, judged with everything on against itself; and again, one of them with its plots."""
    root, night = tmp_path_factory.mktemp(request.param), learning.make_night(request.param)
    stages = learning.data_stages(root, settings, night, learning.raw_table(request.param, rows=1500))
    version = judging.made(root / "made", settings, stages, night)
    champion = judging.live(version, 3, night, rows_trained=10)
    done = judging.judge(
        root / "out",
        settings,
        stages,
        night,
        version,
        champion=champion,
        anchor=judging.live(version, 2, night),
        plots=True,
        explain_rows=200,
        slices=("c",),
        slice_rows=10,
        fairness=("c",),
        max_row_ms=1000.0,
    )
    again = judging.judge(
        root / "again",
        settings,
        stages,
        night,
        version,
        champion=champion,
        anchor=judging.live(version, 2, night),
        plots=request.param == "binary",
        explain_rows=200,
        slices=("c",),
        slice_rows=10,
        fairness=("c",),
    )
    return request.param, root / "out", done, root / "again", again


def test_the_verdict_holds_every_number(judged: Any) -> None:
    task, out, done, _, _ = judged
    facts = json.loads((out / "verdict.json").read_text())
    meta = json.loads(json.dumps(done.meta))
    assert {name: facts[name] for name in meta} == meta
    assert set(facts) - set(meta) == {"limits", "slices", "fairness"}, "what travels in the ref stays small"
    assert facts["limits"] == {"slice_rows": 10, "max_row_ms": 1000.0, "least_rows": 0.5}
    assert sum(entry["rows"] for entry in facts["slices"]) == done.rows
    assert all(entry["score"] is not None for entry in facts["slices"] if entry["binds"])
    assert facts["fairness"][0]["column"] == "c"
    assert all(0.0 <= ratio <= 1.0 for ratio in facts["fairness"][0]["ratios"].values())
    assert facts["untested"] == []
    assert (facts["verdict"], facts["improvement"], facts["anchor_improvement"]) == ("promoted", 0.0, 0.0)
    assert (facts["champion_version"], facts["anchor_version"]) == (3, 2)
    assert facts["baseline_lower_bound"] > 0
    assert facts["rows_trained"] > 1000
    assert facts["row_ms"] < 1000.0
    assert facts["linear"] is not None
    scores = json.loads((out / "metrics.json").read_text())
    assert set(scores) == {"model", "baseline", "champion", "anchor", "linear"}
    wanted = {
        "binary": {"roc_auc", "pr_auc", "precision", "recall", "f1", "mcc", "brier", "log_loss", "calibration_error"},
        "multiclass": {
            "macro_f1",
            "macro_roc_auc",
            "macro_pr_auc",
            "balanced_accuracy",
            "macro_recall",
            "calibration_error",
        },
        "regression": {"rmse", "mae", "mape", "r2", "pinball_10", "pinball_90"},
    }
    assert wanted[task] <= set(scores["model"])


def test_details_say_what_was_looked_at(judged: Any) -> None:
    task, out, _, _, _ = judged
    details = json.loads((out / "details.json").read_text())
    assert {entry["column"] for entry in details["importance"][:3]} == {"x0", "x1", "c"}
    assert details["attention_how"] == ("sampled" if task == "multiclass" else "exact (TreeSHAP)")
    assert [entry["rows"] for entry in details["learning_curve"]] == sorted(
        entry["rows"] for entry in details["learning_curve"]
    )
    assert sum(entry["rows"] for entry in details["slices"]) == done_rows(judged)
    assert all(entry["improvement"] == 0.0 for entry in details["slices"] if entry["binds"])
    assert details["fairness"][0]["column"] == "c"
    strongest = [entry["column"] for entry in details["importance"] if entry["loss"] > 0]
    assert [entry["column"] for entry in details["partial_dependence"]] == strongest[:5]
    assert len(details["partial_dependence"][0]["means"]) == {"binary": 1, "multiclass": 3, "regression": 1}[task]
    assert len(details["classes"]) == {"binary": 2, "multiclass": 3, "regression": 0}[task]


def done_rows(judged: Any) -> int:
    return int(judged[2].rows)


def test_the_card_is_one_file_that_needs_nothing_else(judged: Any) -> None:
    task, out, done, _, _ = judged
    page = (out / "card.html").read_text()
    assert done.meta["sentence"] in page
    assert page.count("data:image/png;base64,") == len(list((out / "plots").glob("*.png")))
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<script" not in page
    for words in ("Scores on", "Slices", "Fairness", "Importance", "How it was made", "Limits", "v3", "linear"):
        assert words in page
    assert ("By class" in page) == (task != "regression")


def test_what_is_judged_again_has_the_same_bytes(judged: Any) -> None:
    """Times are measured and reported to the ledger; without a limit on them no file holds one."""
    _, out, _, again, outcome = judged
    assert outcome.stats["row_ms"] > 0
    for path in sorted(path for path in again.rglob("*") if path.is_file()):
        if path.name not in ("verdict.json", "details.json", "card.html"):  # the first one declared a limit of time
            assert path.read_bytes() == (out / path.relative_to(again)).read_bytes(), path.name
    assert "row_ms" not in json.loads((again / "verdict.json").read_text())


@pytest.mark.fault
def test_sealed_rows_that_were_trained_on_are_refused() -> None:
    with pytest.raises(GateError, match="2 sealed rows were trained on") as caught:
        check_rows(rows(["1", "2", "3"]), rows(["2", "3", "4"]))
    assert caught.value.faults == ["key '2'", "key '3'"]
    check_rows(rows(["1", None]), rows(["2", None]))
    with pytest.raises(DataError, match="no sealed row"):
        check_rows(rows([]), rows(["1"]))


def test_a_verdict_is_not_used_again_for_an_older_night(make_night: Any, home: Any) -> None:
    """Same rows, same model, same champion: but a backfill never moves what is live."""
    night = make_night()
    older = night.model_copy(update={"as_of": night.as_of - timedelta(days=9)})
    assert fingerprint(EvaluateSpec(), night, home) != fingerprint(EvaluateSpec(), older, home)


def test_reference_counts_rows_by_their_weight() -> None:
    """One row in four of class a was sampled, so that it stands for four."""
    frame = pd.DataFrame({"c": ["a", "b"] * 50, "x": [0.0, 1.0] * 50, "_weight": [4.0, 1.0] * 50})
    found = reference(frame, ["c", "x"])
    assert (found["c"]["categories"], found["c"]["shares"]) == (["a", "b"], [0.8, 0.2])
    assert sum(found["x"]["shares"]) == pytest.approx(1.0)
    assert found["x"]["shares"][-1] == pytest.approx(0.2)


def test_a_champion_sealed_by_another_key_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = learning.make_night("binary").model
    monkeypatch.setattr(ServeSchema, "load", lambda folder: SimpleNamespace(key=("other",), time=None))
    champion = Artifact(ref=Ref(uri="m", digest="d", stage="ensemble", meta={"version": 3}), path=tmp_path)
    rival, admitted = reference_models.admit(champion, rows([]), model)
    assert admitted is None
    assert rival.score is None
    assert "another key" in rival.unfit


SPREAD, EXPLAINED = ("probabilities", "thresholds"), ("learning_curve", "importance", "partial_dependence")
PLOTS = {
    "binary": ["roc", "precision_recall", "lift", "calibration", "confusion", *SPREAD, *EXPLAINED],
    "multiclass": ["roc", "precision_recall", "calibration", "confusion", *SPREAD, *EXPLAINED],
    "regression": ["predicted_actual", "distribution", "residuals", "residuals_predicted", *EXPLAINED],
}


@pytest.mark.parametrize("metric", ["rmsle", "poisson_deviance"])
def test_a_first_version_is_judged_by_a_metric_that_is_not_among_the_common_ones(
    settings: Settings, tmp_path: Path, metric: str
) -> None:
    night = learning.make_night("regression")
    night = night.model_copy(update={"model": night.model.model_copy(update={"metric": metric})})
    stages = learning.data_stages(tmp_path, settings, night, learning.raw_table("regression", rows=300))
    done = judging.judge(
        tmp_path / "out", settings, stages, night, judging.made(tmp_path / "made", settings, stages, night)
    )
    assert done.meta["metric"] == metric
    assert done.meta["linear"] is not None
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert scores["model"][metric] == pytest.approx(done.meta["score"]), "the table of the card has what judges"
    assert json.loads((tmp_path / "out" / "details.json").read_text())["partial_dependence"] == [], "nothing is drawn"


def test_plots_are_png_files(judged: Any) -> None:
    task, out, _, _, _ = judged
    assert {path.stem for path in (out / "plots").iterdir()} == set(PLOTS[task])
    for path in (out / "plots").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("classes", [2, 3])
def test_curves_pass_through_the_points_of_their_definition(classes: int) -> None:
    rng = np.random.default_rng(0)
    truth, y_pred = rng.integers(0, 2, 80).astype(float), np.round(rng.dirichlet(np.ones(classes), 80), 1)
    wrong, right = plots._rates(truth, y_pred, np.ones(80))
    recall, precision = plots._found(truth, y_pred, np.ones(80))
    expected = roc_curve(truth, y_pred[:, 1], drop_intermediate=False)
    np.testing.assert_allclose((wrong, right), expected[:2])
    known = precision_recall_curve(truth, y_pred[:, 1])
    np.testing.assert_allclose(recall[1:], known[1][-2::-1])
    np.testing.assert_allclose(precision[1:], known[0][-2::-1])


def test_one_class_draws_what_is_defined(tmp_path: Path) -> None:
    y_pred = np.full((9, 2), 0.5)
    made = plots.draw(tmp_path / "p", "binary", np.ones(9), {"model": y_pred}, ["n", "y"], "t", y_pred, {})
    assert made == ["calibration.png", "confusion.png"]
