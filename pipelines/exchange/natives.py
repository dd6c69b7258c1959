"""Models in the native files of LightGBM, XGBoost and CatBoost, as the members that nights make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.algorithms.base import TaskInfo
from pipelines.errors import DataError, SpecError
from pipelines.exchange.contract import Contract
from pipelines.inference.members.registry import Member

MAX_BYTES = 500 << 20
XGBOOST = frozenset(
    {"binary:logistic", "multi:softprob", "multi:softmax", "reg:squarederror", "reg:absoluteerror", "count:poisson"}
)
"""Objectives whose scores are turned into predictions as nights do."""


def native_member(file: Path, contract: Contract) -> tuple[Member, str]:
    """Return a native model file as a member, and the name of its library.

    Raises
    ------
    DataError
        The library cannot read it, or it has what the members of this release have not.
    SpecError
        It was learned from other columns than the schema says.
    """
    read, library = READERS[file.suffix.lower()]
    if file.stat().st_size > MAX_BYTES:
        raise DataError("the model file is too large", where=str(file), expected=f"at most {MAX_BYTES} bytes")
    try:
        return read(file, contract), library
    except (DataError, SpecError):
        raise
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        said = str(error).split("Stack trace")[0].strip()[:300]
        raise DataError(
            f"{library} cannot read the file",
            where=str(file),
            seen=f"{type(error).__name__}: {said}",
            cure="save it again where it was made: docs/guides/import-and-export.md",
        ) from None


def _lightgbm(file: Path, contract: Contract) -> Member:
    import lightgbm

    from pipelines.inference.members.boosters import LightGBMMember

    booster = lightgbm.Booster(model_str=file.read_text(encoding="utf-8"))
    _check_columns(file, list(booster.feature_name()), booster.num_feature(), contract, _as_lightgbm)
    wanted = len(contract.classes) if len(contract.classes) > 2 else 1
    _check_outputs(file, booster.num_model_per_iteration(), wanted)
    return LightGBMMember(booster, len(contract.classes))


def _xgboost(file: Path, contract: Contract) -> Member:
    import json

    import xgboost

    from pipelines.algorithms.xgboost_export import export

    booster = xgboost.Booster()
    booster.load_model(str(file))
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    faults = [] if objective in XGBOOST else [f"its objective is {objective}; known are {', '.join(sorted(XGBOOST))}"]
    faults += [] if kind == "gbtree" else [f"it boosts by {kind}; gbtree is known"]
    if not faults and any(tree["categories_nodes"] for tree in learner["gradient_booster"]["model"]["trees"]):
        faults.append("it splits on categories of its own: train it on numbers, or export it to ONNX")
    if faults:
        raise DataError("this XGBoost model cannot be served", where=str(file), faults=faults)
    _check_columns(file, list(booster.feature_names or ()), booster.num_features(), contract)
    classes, columns = len(contract.classes), len(contract.columns)
    _check_outputs(file, max(1, int(learner["learner_model_param"]["num_class"])), classes if classes > 2 else 1)
    metric = contract.model_spec("model").judged_by
    shape = TaskInfo(contract.task, metric, classes, 0, ("number",) * columns, (0,) * columns)
    return export(booster, shape, np.arange(classes), ())


def _catboost(file: Path, contract: Contract) -> Member:
    from catboost import CatBoost  # type: ignore[import-untyped]  # it ships no types

    from pipelines.inference.members.catboost import CatBoostMember

    model = CatBoost()
    model.load_model(str(file), format="cbm")
    if model.get_cat_feature_indices() or model.get_text_feature_indices():
        raise DataError(
            "this CatBoost model cannot be served",
            where=str(file),
            seen="it reads categories or texts of its own",
            expected="a model of numbers",
            cure="train it on codes or one-hot columns",
        )
    names = list(model.feature_names_ or ())
    _check_columns(file, [] if all(name.isdigit() for name in names) else names, len(names), contract)
    classes = len(contract.classes)
    width = np.atleast_2d(np.asarray(model.predict(np.zeros((1, len(names))), prediction_type="RawFormulaVal"))).size
    _check_outputs(file, width, classes if classes > 2 else 1)
    return CatBoostMember(model, list(range(len(names))), [], list(range(classes)), classes)


READERS: dict[str, tuple[Callable[[Path, Contract], Any], str]] = {
    ".txt": (_lightgbm, "LightGBM"),
    ".lgb": (_lightgbm, "LightGBM"),
    ".ubj": (_xgboost, "XGBoost"),
    ".json": (_xgboost, "XGBoost"),
    ".cbm": (_catboost, "CatBoost"),
    ".cb": (_catboost, "CatBoost"),
}
"""By ending of the file, how it is read and by which library."""


def _as_lightgbm(name: str) -> str:
    """Return the name that LightGBM keeps of a column: without blanks."""
    return name.replace(" ", "_")


def _check_columns(
    file: Path, names: list[str], count: int, contract: Contract, kept: Callable[[str], str] = str
) -> None:
    """Raise unless the model was learned from as many columns, and from those names where it knows names.

    Parameters
    ----------
    kept
        Tells how the library writes the name of a column.
    """
    named = [name for name in names if not name.startswith("Column_")]
    given = [kept(name) for name in contract.names]
    if count == len(contract.columns) and (not named or named == given):
        return
    same = sorted(named) == sorted(given)
    raise SpecError(
        "the model was learned from other columns",
        where=str(file),
        seen=", ".join(contract.names)[:300],
        expected=", ".join(named)[:300] or f"{count} columns",
        cure="write the columns of the schema in the model's order" if same else "correct the columns of the schema",
    )


def _check_outputs(file: Path, seen: int, wanted: int) -> None:
    if seen != wanted:
        raise SpecError("the model has another number of scores than the schema has classes", where=str(file),
                        seen=seen, expected=wanted)  # fmt: skip
