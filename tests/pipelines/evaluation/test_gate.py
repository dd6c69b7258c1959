from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from pipelines.errors import GateError
from pipelines.evaluation.gate import Champion, Verdict, judge, margin_of
from pipelines.evaluation.spec import EvaluateSpec

TONIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def decide(
    score: float, champion: Champion | None, metric: str = "roc_auc", baseline: float = 0.5, **spec: Any
) -> Verdict:
    return judge(EvaluateSpec(**spec), metric, score, baseline, 1000, TONIGHT, champion)


def live(score: float, spread: float, tonight: float, **fields: Any) -> Champion:
    improvements = np.random.default_rng(0).normal(tonight - score, spread, 2000)
    return Champion(
        **{
            "version": 2,
            "as_of": datetime(2026, 2, 1, tzinfo=UTC),
            "score": score,
            "improvements": improvements,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("score", "spread", "verdict"),
    [
        (0.83, 0.004, "promoted"),
        (0.80, 0.004, "promoted"),
        (0.798, 0.004, "promoted"),
        (0.794, 0.004, "kept"),
        (0.80, 0.02, "kept"),
        (0.70, 0.004, "kept"),
    ],
)
def test_non_inferior_within_the_margin_is_promoted(score: float, spread: float, verdict: str) -> None:
    found = decide(score, live(0.80, spread, score))
    assert found.verdict == verdict
    assert found.margin == 0.01
    assert found.lower_bound is not None
    assert (found.lower_bound > -0.01) == (verdict == "promoted")


def test_margins() -> None:
    assert margin_of(EvaluateSpec(), "rmse", 50.0) == pytest.approx(1.0)
    assert margin_of(EvaluateSpec(), "accuracy", 0.9) == 0.01
    assert margin_of(EvaluateSpec(margin=0.0), "roc_auc", 0.9) == 0.0


def test_smaller_is_better_for_errors() -> None:
    improvements = np.full(200, 5.0)
    champion = Champion(1, None, 45.0, improvements)
    found = judge(EvaluateSpec(), "rmse", 40.0, 90.0, 500, TONIGHT, champion)
    assert (found.verdict, found.improvement) == ("promoted", 5.0)


def test_worse_than_the_baseline_is_unfit_only_without_a_champion() -> None:
    with pytest.raises(GateError, match="not better than the baseline"):
        decide(0.49, None)
    assert decide(0.49, live(0.5, 0.01, 0.49)).verdict == "kept"


def test_floor_keeps_out_of_service() -> None:
    assert decide(0.7, None, floor=0.75).verdict == "kept"
    assert decide(0.8, None, floor=0.75).verdict == "promoted"
    assert decide(0.7, live(0.6, 0.001, 0.7), floor=0.75).verdict == "kept"


def test_a_champion_that_cannot_answer_is_replaced_and_named_unless_it_is_newer() -> None:
    gone = Champion(4, datetime(2026, 2, 1, tzinfo=UTC), unfit="needs columns that are gone: age")
    found = decide(0.8, gone)
    assert found.verdict == "promoted"
    assert "version 4 needs columns that are gone: age" in found.sentence
    newer = Champion(4, datetime(2026, 5, 1, tzinfo=UTC), unfit="needs columns that are gone: age")
    assert decide(0.8, newer).verdict == "kept"


def test_rows_that_bound_nothing_keep_the_champion() -> None:
    assert decide(0.9, live(0.8, 0.1, 0.9, improvements=np.empty(0))).verdict == "kept"
