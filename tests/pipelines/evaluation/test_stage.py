from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import learning
import numpy as np
import pandas as pd
import pytest

from pipelines.artifacts import Artifact, Ref
from pipelines.errors import DataError, GateError
from pipelines.evaluation.judged import Version
from pipelines.evaluation.plots import draw
from pipelines.evaluation.reference import reference
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.evaluation.stage import _answer, _champion, _check_defined, _check_rows, fingerprint


def rows(keys: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"_key": pd.array(keys, dtype="object")})


@pytest.mark.fault
def test_sealed_rows_that_were_trained_on_are_refused() -> None:
    with pytest.raises(GateError, match="2 sealed rows were trained on") as caught:
        _check_rows(rows(["1", "2", "3"]), rows(["2", "3", "4"]))
    assert caught.value.faults == ["key '2'", "key '3'"]
    _check_rows(rows(["1", None]), rows(["2", None]))


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
    live = Version({"task": "binary"}, None, None, (("other",), None))  # type: ignore[arg-type]
    monkeypatch.setattr(Version, "load", lambda folder: live)
    champion = Artifact(ref=Ref(uri="m", digest="d", stage="ensemble", meta={"version": 3}), path=tmp_path)
    judged = _champion(champion, rows([]), np.ones(0), {}, ["n", "y"], "roc_auc", EvaluateSpec(), model)
    assert judged.score is None
    assert "another key" in judged.unfit


def test_no_sealed_rows_and_one_class_say_what_to_do() -> None:
    with pytest.raises(DataError, match="no sealed row"):
        _check_rows(rows([]), rows(["1"]))
    with pytest.raises(DataError, match="all of one class"):
        _check_defined("roc_auc", float("nan"), np.ones(5))


@pytest.mark.fault
def test_answers_that_are_not_finite_are_unfit() -> None:
    class Broken:
        classes = ("no", "yes")

        def answer(self, frame: pd.DataFrame) -> np.ndarray:
            return np.array([[0.5, 0.5], [np.nan, 0.5]])

    with pytest.raises(GateError, match="not finite"):
        _answer(Broken(), rows(["1", "2"]), ["no", "yes"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("binary", ["roc.png", "precision_recall.png", "calibration.png"]),
        ("multiclass", ["confusion.png"]),
        ("regression", ["predicted_actual.png", "residuals.png"]),
    ],
)
def test_plots_are_png_files_and_repeat_to_the_byte(task: str, names: list[str], tmp_path: Path) -> None:
    columns = learning.make_columns(task)
    if task == "regression":
        answer = columns.y + 1.0
    else:
        answer = np.random.default_rng(0).dirichlet(np.ones(columns.shape.classes), len(columns.y))
    answers = {"model": answer, "champion": answer}
    for folder in ("a", "b"):
        assert draw(tmp_path / folder, task, columns.y, answers, list(columns.classes), "demo, 600 rows") == names
    for name in names:
        first = (tmp_path / "a" / name).read_bytes()
        assert first.startswith(b"\x89PNG")
        assert first == (tmp_path / "b" / name).read_bytes()


def test_one_class_draws_what_is_defined(tmp_path: Path) -> None:
    assert draw(tmp_path / "p", "binary", np.ones(9), {"model": np.full((9, 2), 0.5)}, ["n", "y"], "t") == [
        "calibration.png"
    ]
