from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipelines.evaluation.explanation.fairness import fairness
from pipelines.evaluation.explanation.slices import slice_scores, slices_of
from pipelines.evaluation.gate.untested_limits import MOST_KEPT, numbers, untested
from pipelines.evaluation.spec import EvaluateSpec

RNG = np.random.default_rng(0)
SEX = np.repeat(["Male", "Female", "Other"], [400, 60, 12])
ROWS = pd.DataFrame({"sex": SEX, "one": "same"})
TRUTH = np.where(SEX == "Female", 0.0, RNG.integers(0, 2, len(SEX)).astype(float))
P = np.clip(0.3 + 0.4 * TRUTH + RNG.normal(scale=0.2, size=len(SEX)), 0.01, 0.99)
Y_PRED = np.column_stack([1.0 - P, P])
SEEN = {"model_bytes": 10, "calibration_error": 0.1}


def details(spec: EvaluateSpec, champion: bool = False) -> dict[str, Any]:
    sides = {"model": Y_PRED, **({"champion": Y_PRED} if champion else {})}
    cut = slices_of(ROWS, spec.slices)
    return {
        "slices": slice_scores("roc_auc", TRUTH, sides, cut, spec, declared=bool(spec.slices), seed=0),
        "fairness": fairness("binary", TRUTH, Y_PRED, slices_of(ROWS, spec.fairness, "fairness"), spec.slice_rows),
    }


def named(spec: EvaluateSpec, champion: bool = False, **seen: Any) -> tuple[str, ...]:
    return untested(spec, "roc_auc", details(spec, champion), {**SEEN, **seen})


def test_slices_that_a_floor_was_not_tested_on() -> None:
    expected = ("slice sex=Female (roc_auc is not defined on its 60 rows)", "slice sex=Other (12 of 30 rows needed)")
    assert named(EvaluateSpec(slices=("sex",), slice_rows=30, slice_floor=0.6)) == expected
    assert named(EvaluateSpec(slices=("sex",), slice_rows=30), champion=True) == expected
    assert named(EvaluateSpec(slices=("sex",), slice_rows=30)) == (), "neither a floor nor a champion: nothing to test"


def test_groups_and_ratios_that_were_not_compared() -> None:
    spec = EvaluateSpec(fairness=("sex", "one"), fairness_floor=0.5, slice_rows=30)
    assert named(spec) == (
        "fairness sex found (1 of 2 groups of 30 rows needed)",
        "fairness sex=Other selected and false_alarm (6 of 30 rows needed)",
        "fairness one (1 of 2 groups of 30 rows needed)",
    )
    assert named(EvaluateSpec(fairness=("sex", "one"), slice_rows=30)) == ()


def test_a_limit_of_something_that_is_not_there() -> None:
    spec = EvaluateSpec(max_calibration_error=0.1)
    assert named(spec) == ()
    assert named(spec, calibration_error=None) == (
        "max_calibration_error (these predictions have no calibration error)",
    )


def test_the_verdict_names_limits_slices_and_ratios_and_stays_small() -> None:
    spec = EvaluateSpec(slices=("sex",), slice_floor=0.99, slice_rows=30, fairness=("sex",), floor=0.7)
    found = numbers(spec, details(spec, champion=True))
    assert found["limits"] == {"floor": 0.7, "slice_floor": 0.99, "slice_rows": 30, "least_rows": 0.5}
    assert [(entry["value"], entry["rows"], entry["binds"]) for entry in found["slices"]] == [
        ("Male", 400, True),
        ("Female", 60, True),
        ("Other", 12, False),
    ]
    assert "floor" in found["slices"][0]["why"]
    assert found["fairness"][0]["ratios"]["found"] is None
    many = [{**entry, "why": "worse" if number == 90 else ""} for number, entry in enumerate(found["slices"] * 40)]
    kept = numbers(spec, {"slices": many, "fairness": []})["slices"]
    assert (len(kept), kept[0]["why"]) == (MOST_KEPT, "worse")
