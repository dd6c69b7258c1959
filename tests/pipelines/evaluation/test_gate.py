from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scipy.stats import norm

from pipelines.errors import GateError
from pipelines.evaluation.comparison.compare import Comparison
from pipelines.evaluation.gate.gate import judge, margin_of
from pipelines.evaluation.gate.verdict import Candidate, Rival, Verdict
from pipelines.evaluation.spec import EvaluateSpec

TONIGHT = datetime(2026, 3, 1, tzinfo=UTC)
BEFORE = datetime(2026, 2, 1, tzinfo=UTC)
Z = float(norm.ppf(0.95))


def seen(gain: float, error: float) -> Comparison:
    return Comparison(gain, gain - Z * error, gain + Z * error, error, 2.486 * error, "delong")


def decide(
    score: float,
    champion: Rival | None,
    *,
    metric: str = "roc_auc",
    baseline: float = 0.5,
    anchor: Rival | None = None,
    given: dict[str, Any] | None = None,
    **spec: Any,
) -> Verdict:
    over = seen(abs(score - baseline), 0.01)
    candidate = Candidate(score, baseline, 1000, TONIGHT, **{"over_baseline": over, **(given or {})})
    return judge(EvaluateSpec(**spec), metric, candidate, champion, anchor)


def live(score: float, spread: float, tonight: float, **fields: Any) -> Rival:
    return Rival(
        **{"version": 2, "as_of": BEFORE, "score": score, "comparison": seen(tonight - score, spread), **fields}
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
    assert (found.lower_bound > -0.01) == (verdict == "promoted") == (not found.reasons)


def test_of_models_that_predict_alike_no_detectable_difference_is_named() -> None:
    found = decide(0.80, live(0.80, 0.0, 0.80))
    assert (found.verdict, found.detectable) == ("promoted", None)
    assert found.sentence.endswith("of version 2; no difference on 1000 rows, margin 0.01.")


def test_days_that_were_drawn_again_are_named() -> None:
    by_day = dataclasses.replace(seen(0.02, 0.03), how="days", days=12)
    found = decide(0.82, live(0.8, 0.1, 0.82, comparison=by_day), given={"over_baseline": by_day})
    assert "1000 rows paired by day (12 days), smallest detectable difference 0.0746" in found.sentence
    assert (found.test, found.days) == ("days", 12)
    first = decide(0.82, None, given={"over_baseline": by_day})
    assert "not surely better" in first.sentence
    assert first.sentence.count("on 1000 rows paired by day (12 days)") == 2
    assert decide(0.82, live(0.8, 0.1, 0.82)).days is None


def test_margins() -> None:
    assert margin_of(None, "rmse", 50.0) == pytest.approx(1.0)
    assert margin_of(None, "accuracy", 0.9) == margin_of(None, "r2", 0.4) == 0.01
    assert margin_of(0.0, "roc_auc", 0.9) == 0.0


def test_smaller_is_better_for_errors() -> None:
    found = decide(40.0, Rival(1, None, 45.0, seen(5.0, 0.5)), metric="rmse", baseline=90.0)
    assert (found.verdict, found.improvement) == ("promoted", 5.0)
    assert decide(40.0, None, metric="rmse", baseline=90.0, ceiling=45.0).verdict == "kept"


def test_worse_than_the_baseline_is_unfit_only_without_a_champion() -> None:
    with pytest.raises(GateError, match="not better than the baseline"):
        decide(0.49, None)
    assert decide(0.49, live(0.5, 0.01, 0.49)).verdict == "kept"


def test_a_first_version_must_be_surely_better_and_the_sentence_says_what_the_rows_can_show() -> None:
    unsure = decide(0.52, None, given={"over_baseline": seen(0.02, 0.03)})
    assert unsure.verdict == "kept"
    assert "not surely better than the baseline" in unsure.sentence
    assert "smallest detectable difference 0.0746" in unsure.sentence
    assert unsure.detectable == pytest.approx(2.486 * 0.03)
    assert decide(0.52, None, given={"over_baseline": seen(0.02, 0.01)}).verdict == "promoted"


def test_a_first_version_must_learn_half_of_what_a_linear_model_does() -> None:
    def first(score: float, linear: float, error: float) -> Verdict:
        return decide(score, None, given={"linear": linear, "over_linear": seen(score - linear, error)})

    odd = first(0.6, 0.9, 0.02)
    assert odd.verdict == "kept"
    assert "a linear model with default settings reaches 0.9; it has learned 25% of that" in odd.sentence
    assert (odd.linear, odd.linear_improvement) == (0.9, pytest.approx(-0.3))
    assert first(0.6, 0.9, 0.3).verdict == "promoted"  # these rows do not tell
    assert first(0.75, 0.9, 0.02).verdict == "promoted"  # worse than linear, and no sign of a fault
    assert first(0.6, 0.4, 0.02).verdict == "promoted"


def test_floor_and_ceiling_keep_out_of_service() -> None:
    assert decide(0.7, None, floor=0.75).verdict == "kept"
    assert decide(0.8, None, floor=0.75).verdict == "promoted"
    assert decide(0.7, live(0.6, 0.001, 0.7), floor=0.75).verdict == "kept"
    assert "too good to be believed" in decide(0.97, live(0.6, 0.001, 0.97), ceiling=0.95).sentence


def test_a_champion_that_cannot_predict_is_replaced_and_named_unless_it_is_newer() -> None:
    gone = Rival(4, BEFORE, unfit="needs columns that are gone: age")
    found = decide(0.8, gone)
    assert found.verdict == "promoted"
    assert "version 4 needs columns that are gone: age" in found.sentence
    assert found.champion_unfit == gone.unfit
    newer = Rival(4, datetime(2026, 5, 1, tzinfo=UTC), unfit="needs columns that are gone: age")
    assert decide(0.8, newer).verdict == "kept"


def test_rows_that_bound_nothing_keep_the_champion() -> None:
    assert decide(0.9, live(0.8, 0.1, 0.9, comparison=None)).verdict == "kept"


def test_older_knowledge_must_be_better_and_not_just_as_good() -> None:
    champion = live(0.80, 0.002, 0.801, trained_until=BEFORE, rows_trained=1000)
    stale = decide(0.801, champion, given={"trained_until": BEFORE - timedelta(days=9), "rows_trained": 1000})
    assert stale.verdict == "kept"
    assert "its newest training row, of 2026-01-23 00:00, is older than version 2's" in stale.sentence
    short = decide(0.801, champion, given={"trained_until": TONIGHT, "rows_trained": 400})
    assert "it was trained on 400 rows, version 2 on 1000" in short.sentence
    assert decide(0.801, champion, given={"trained_until": TONIGHT, "rows_trained": 501}).verdict == "promoted"
    better = live(0.80, 0.002, 0.81, trained_until=BEFORE, rows_trained=1000)
    assert decide(0.81, better, given={"trained_until": BEFORE - timedelta(days=9)}).verdict == "promoted"


def test_small_losses_do_not_add_up() -> None:
    """Ninety nights that each lose less than the margin: without the anchor all would be promoted."""
    score, best, kept = 0.80, 0.80, 0
    for _ in range(90):
        tonight = score - 0.004
        found = decide(tonight, live(score, 0.002, tonight), anchor=live(best, 0.003, tonight, version=1))
        if found.verdict == "promoted":
            score = tonight
        else:
            kept += 1
            assert "below version 1, the best that ever was live" in found.sentence
    assert score >= best - 0.01 - 1e-9
    assert kept == 88


def test_an_anchor_that_cannot_predict_is_named_and_blocks_nothing() -> None:
    found = decide(0.8, live(0.8, 0.002, 0.8), anchor=Rival(1, None, unfit="trained on 7 of tonight's sealed rows"))
    assert (found.verdict, found.anchor_version, found.anchor_score) == ("promoted", 1, None)
    assert found.anchor_unfit == "trained on 7 of tonight's sealed rows"


def test_what_was_not_tested_and_what_was_lost_is_named() -> None:
    some = tuple(f"slice c={number} (3 of 30 rows needed)" for number in range(70))
    found = decide(0.8, live(0.8, 0.002, 0.8), given={"untested": some, "lost_classes": ("z (9 rows)",)})
    assert found.verdict == "promoted"
    assert found.sentence.endswith(
        "; it lost classes that an earlier version knows: z (9 rows); not tested: slice c=0 (3 of 30 rows needed), "
        "slice c=1 (3 of 30 rows needed), slice c=2 (3 of 30 rows needed), and 67 more."
    )
    assert found.untested == [*some[:50], "and 20 more"]
    assert "not tested" not in decide(0.8, live(0.8, 0.002, 0.8)).sentence


def test_every_broken_limit_is_named() -> None:
    why = tuple(f"limit {number} is broken" for number in range(6))
    found = decide(0.8, live(0.8, 0.002, 0.8), given={"blocks": why})
    assert (found.verdict, found.reasons) == ("kept", list(why))
    assert "limit 3 is broken; and 2 more." in found.sentence
    assert decide(0.8, None, given={"blocks": why[:1]}).sentence.startswith("Kept out of service: limit 0 is broken.")
