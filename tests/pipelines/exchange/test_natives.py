"""Native files of the three libraries predict as the libraries do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.errors import DataError, SpecError
from pipelines.exchange.contract import Contract
from pipelines.exchange.importing import read_member

NAMES = ("a", "b", "c")
X = np.random.default_rng(0).normal(size=(300, 3))
X[::7, 1] = np.nan
Y = (np.nan_to_num(X[:, 0] + X[:, 1]) > 0).astype(int) + (X[:, 2] > 1)


def contract(task: str, classes: int, names: tuple[str, ...] = NAMES) -> Contract:
    labels = [f"k{index}" for index in range(classes)]
    return Contract(task=task, classes=labels, columns=tuple({"name": name} for name in names))


def lightgbm_file(folder: Path, task: str, classes: int) -> tuple[Path, Any]:
    import lightgbm

    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[task]
    params = {"objective": objective, "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 5}
    params |= {"num_class": classes} if task == "multiclass" else {}
    booster = lightgbm.train(params, lightgbm.Dataset(X, target(task), feature_name=list(NAMES)), 8)
    booster.save_model(str(folder / "m.txt"))
    return folder / "m.txt", booster.predict(X)


def xgboost_file(folder: Path, task: str, classes: int) -> tuple[Path, Any]:
    import xgboost

    objective = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}[task]
    params = {"objective": objective, "nthread": 1} | ({"num_class": classes} if task == "multiclass" else {})
    data = xgboost.DMatrix(X, target(task), feature_names=list(NAMES))
    booster = xgboost.train(params, data, 8)
    booster.save_model(str(folder / "m.ubj"))
    return folder / "m.ubj", booster.predict(data)


def catboost_file(folder: Path, task: str, classes: int) -> tuple[Path, Any]:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostRegressor if task == "regression" else CatBoostClassifier
    model = kind(iterations=8, thread_count=1, verbose=False, allow_writing_files=False).fit(X, target(task))
    model.save_model(str(folder / "m.cbm"))
    if task == "regression":
        return folder / "m.cbm", model.predict(X)
    found = model.predict_proba(X)
    return folder / "m.cbm", found[:, 1] if task == "binary" else found


def target(task: str) -> Any:
    return {"binary": (Y > 0).astype(int), "multiclass": Y, "regression": X[:, 0] * 2.0}[task]


@pytest.mark.parametrize("make", [lightgbm_file, xgboost_file, catboost_file])
@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 3), ("regression", 0)])
def test_a_native_file_predicts_as_its_library(tmp_path: Path, make: Any, task: str, classes: int) -> None:
    file, expected = make(tmp_path, task, classes)
    member, _ = read_member(file, contract(task, classes))
    found = member.predict(X)
    np.testing.assert_allclose(found[:, 1] if task == "binary" else found, expected, atol=1e-5)


def test_other_columns_or_classes_are_refused(tmp_path: Path) -> None:
    file, _ = lightgbm_file(tmp_path, "binary", 2)
    with pytest.raises(SpecError, match="in the model's order"):
        read_member(file, contract("binary", 2, ("b", "a", "c")))
    with pytest.raises(SpecError, match="other columns"):
        read_member(file, contract("binary", 2, ("a", "b")))
    with pytest.raises(SpecError, match="number of scores"):
        read_member(file, contract("multiclass", 3))


def test_what_cannot_be_served_says_why(tmp_path: Path) -> None:
    import xgboost

    gamma = xgboost.train({"objective": "reg:gamma"}, xgboost.DMatrix(X, np.abs(X[:, 0]) + 1), 2)
    gamma.save_model(str(tmp_path / "gamma.ubj"))
    with pytest.raises(DataError, match="reg:gamma"):
        read_member(tmp_path / "gamma.ubj", contract("regression", 0))
    for name in ("bad.txt", "bad.ubj", "bad.cbm"):
        (tmp_path / name).write_bytes(b"tree\x00nonsense")
        with pytest.raises(DataError, match="cannot read"):
            read_member(tmp_path / name, contract("regression", 0))


def test_lightgbm_keeps_names_without_blanks(tmp_path: Path) -> None:
    import lightgbm

    names = ["days since", "größe", "c"]
    params = {"objective": "binary", "num_threads": 1, "verbosity": -1, "num_leaves": 3}
    booster = lightgbm.train(params, lightgbm.Dataset(X, target("binary"), feature_name=names), 2)
    booster.save_model(str(tmp_path / "m.txt"))
    member, _ = read_member(tmp_path / "m.txt", contract("binary", 2, tuple(names)))
    np.testing.assert_allclose(member.predict(X)[:, 1], booster.predict(X))


def test_what_a_library_says_is_told_without_its_stack(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"a": 1}')
    with pytest.raises(DataError) as refused:
        read_member(tmp_path / "m.json", contract("binary", 2))
    assert "Stack trace" not in str(refused.value)
