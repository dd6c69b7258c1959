from __future__ import annotations

from pathlib import Path
from typing import Any

import learning
import numpy as np
import pandas as pd
import pytest

from pipelines.errors import DataError, GateError
from pipelines.evaluation.plots import draw
from pipelines.evaluation.stage import _answer, _check_defined, _check_rows


def rows(keys: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"_key": pd.array(keys, dtype="object")})


@pytest.mark.fault
def test_sealed_rows_that_were_trained_on_are_refused() -> None:
    with pytest.raises(GateError, match="2 sealed rows were trained on") as caught:
        _check_rows(rows(["1", "2", "3"]), rows(["2", "3", "4"]))
    assert caught.value.faults == ["key '2'", "key '3'"]
    _check_rows(rows(["1", None]), rows(["2", None]))


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
