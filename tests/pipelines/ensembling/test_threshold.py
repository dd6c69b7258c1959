from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef

from pipelines.ensembling.combination.threshold import check_threshold, threshold
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import SpecError

RNG = np.random.default_rng(0)
TRUTH = RNG.random(500) < 0.2
SHARE = np.round(np.clip(0.25 * TRUTH + RNG.normal(0.25, 0.15, 500), 0, 1), 2)
W = np.ones(500)
FOLD = (np.arange(500) % 5).astype(np.int8)
METRICS = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score, "mcc": matthews_corrcoef}


@pytest.mark.parametrize("by", METRICS)
def test_no_other_threshold_is_better_by_the_metric(by: str) -> None:
    found = threshold(EnsembleSpec(threshold=by), SHARE, TRUTH, W, FOLD)  # type: ignore[arg-type]
    assert found is not None
    mine = METRICS[by](TRUTH, found["value"] <= SHARE)
    assert mine - 0.1 < found["score"] <= mine + 1e-12, "judged on rows that it was not chosen on"
    assert mine >= max(METRICS[by](TRUTH, value <= SHARE) for value in np.linspace(0.005, 0.995, 199)) - 1e-12


def test_cost_moves_the_threshold() -> None:
    def value(positive: float, negative: float) -> float:
        spec = EnsembleSpec(threshold="cost", cost_false_positive=positive, cost_false_negative=negative)
        found = threshold(spec, SHARE, TRUTH, W, FOLD)
        assert found is not None
        chosen = found["value"] <= SHARE
        paid = positive * (chosen & ~TRUTH).mean() + negative * (~chosen & TRUTH).mean()
        assert paid - 1e-12 <= -found["score"] <= 1.3 * paid
        return float(found["value"])

    assert value(1.0, 20.0) < value(1.0, 1.0) < value(20.0, 1.0)


def test_declared_or_none() -> None:
    assert threshold(EnsembleSpec(threshold=0.3), SHARE, TRUTH, W, FOLD) == {"value": 0.3, "by": "declared"}
    assert threshold(EnsembleSpec(), SHARE, TRUTH, W, FOLD) is None
    with pytest.raises(SpecError, match="for two classes"):
        check_threshold(EnsembleSpec(threshold="f1"), "multiclass")
    with pytest.raises(SpecError, match="both costs are 0"):
        EnsembleSpec(threshold="cost", cost_false_positive=0, cost_false_negative=0)
