"""An explained prediction: every step is there, and together they give what is served."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from pipelines import settings as settings_module
from pipelines.errors import DataError, DeployError
from pipelines.inference.ensemble.combine import KINDS
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.explain import explain_row, formula, origins
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor
from pipelines.secret_files import public_key

ROW = {"amount": " 123.5 ", "town": "Bern", "age": 40, "remark": "not asked for"}


@dataclass
class Steep:
    """A member of its own: the log odds are ``slope`` times the sum of what is known."""

    slope: float
    family: ClassVar[str] = "steep"

    def predict(self, X: Any) -> Any:
        upper = 1 / (1 + np.exp(-self.slope * np.nansum(X, axis=1) / 1e6))
        return np.column_stack([1 - upper, upper])


@dataclass
class Step:
    """A correction of log odds."""

    size: float
    family: ClassVar[str] = "step"

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.size)


@pytest.fixture(scope="module")
def predictor(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    root = tmp_path_factory.mktemp("explain")
    settings = settings_module.load(home=root / "home").ensure()
    return ModelDirectory.open(tiny.make_model_dir(root / "model", settings), public_key(settings)).predictor


def with_ensemble(predictor: Predictor, combine: dict[str, Any], calibration: dict[str, Any] | None = None, **facts):
    nodes = (
        EnsembleNode((Steep(1.0),)),
        EnsembleNode((Steep(-2.0), Steep(3.0)), kind="bag"),
        EnsembleNode((Steep(0.5),), reads=(0,)),
        EnsembleNode((Step(0.25),), kind="boosted", base=1, step=0.5, classes=2),
    )
    return replace(predictor, ensemble=Ensemble(nodes, combine, calibration), facts=predictor.facts | facts)


def test_each_step_of_a_row_is_explained(predictor: Predictor) -> None:
    found = explain_row(predictor, ROW)
    assert found["raw"] == {"amount": " 123.5 ", "town": "Bern", "age": 40}
    assert found["ignored"] == ["remark"]
    assert found["added"] == {"people": 134_591, "left": 60.0}
    assert found["clean"] == {"amount": 123.5, "town": "Bern", "age": 40.0, "people": 134_591.0, "left": 60.0}
    assert found["unreadable"] == []
    features = {each["name"]: each for each in found["features"]}
    assert features["town"]["kind"] == "code"
    assert (features["town"]["sources"], features["town"]["steps"]) == (["town"], ["codes"])
    assert (features["amount"]["value"], features["amount"]["steps"]) == (123.5, [])
    (member,) = found["members"]
    assert (member["family"], member["weight"], member["kind"]) == ("lightgbm", 1.0, "member")
    assert found["combination"] == {"kind": "single", "formula": "member 0", "answer": member["answer"]}
    assert found["answer"] == predictor.predict_rows([ROW])[0]
    assert found["answer"]["probability"] == member["answer"]["yes"]


def test_unreadable_and_missing_cells_are_named(predictor: Predictor) -> None:
    found = explain_row(predictor, {"amount": "much", "town": None, "age": 30})
    assert found["unreadable"] == ["amount"]
    assert (found["clean"]["amount"], found["clean"]["town"], found["added"]["people"]) == (None, None, None)
    assert found["features"][0]["value"] is None
    with pytest.raises(DataError, match="cannot be read"):
        explain_row(predictor, {"amount": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_combining_is_explained(predictor: Predictor, kind: str) -> None:
    combine = {"kind": kind, "weights": [0.25, 0.5, 0.0, 0.25]}
    if kind == "stacking":
        combine["intercept"] = [0.0, 0.125]
    changed = with_ensemble(predictor, combine, {"kind": "platt", "scale": 0.5, "shift": [0.0, 0.1]})
    found = explain_row(changed, ROW)
    assert found["answer"] == changed.predict_rows([ROW])[0]
    assert (
        found["calibration"]["answer"]["yes"] == found["answer"]["probability"] != found["combination"]["answer"]["yes"]
    )
    assert [(each["kind"], each["reads"], len(each["parts"])) for each in found["members"]] == [
        ("member", [], 0),
        ("bag", [], 2),
        ("member", [0], 0),
        ("boosted", [1], 1),
    ]
    bag = found["members"][1]
    assert bag["answer"]["yes"] == (bag["parts"][0]["yes"] + bag["parts"][1]["yes"]) / 2
    assert found["members"][3]["parts"] == [0.25]
    assert found["combination"]["formula"] == formula(combine, ["no", "yes"])
    assert "member 2" not in found["combination"]["formula"]


def test_a_threshold_decides_the_label(predictor: Predictor) -> None:
    combine = {"kind": "single", "weights": [1.0, 0.0, 0.0, 0.0]}
    share = explain_row(with_ensemble(predictor, combine), ROW)["answer"]["probability"]
    for value, label in ((share, "yes"), (np.nextafter(share, 1), "no")):
        found = explain_row(with_ensemble(predictor, combine, threshold={"value": value, "by": "f1"}), ROW)
        assert (found["threshold"]["value"], found["answer"]["prediction"]) == (value, label)


def test_steps_that_do_not_reproduce_the_prediction_are_a_fault(predictor: Predictor) -> None:
    class Moody(Ensemble):
        def predict(self, X: Any) -> Any:
            return np.nextafter(super().predict(X), 0)

    moody = replace(predictor, ensemble=Moody(predictor.ensemble.nodes, predictor.ensemble.combine))
    with pytest.raises(DeployError, match="do not reproduce"):
        explain_row(moody, ROW)


def test_formulas_name_weights_in_full() -> None:
    third = {"kind": "average", "weights": [1 / 3, 2 / 3]}
    assert formula(third, []) == "0.3333333333333333 × member 0 + 0.6666666666666666 × member 1"
    assert formula({"kind": "stacking", "weights": [2.0], "intercept": 1.5}, []) == "1.5 + 2.0 × member 0"


def test_an_output_of_an_inputs_name_keeps_its_origin(predictor: Predictor) -> None:
    assert origins(predictor.plan)["left"] == (["left"], [])
