"""Card payments that the owner of the card did not make."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.ensembling.spec import EnsembleSpec
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.features.spec import FeatureSpec, Ratio
from pipelines.industry.template import IndustryTemplate, Rng, logistic, yes_no


def day(rng: Rng, number: int) -> pd.DataFrame:
    """Return the payments of a day."""
    n = int(rng.poisson(500))
    usual = rng.lognormal(3.5, 0.6, n).round(2)
    amount = (usual * rng.lognormal(0, 0.7, n)).round(2)
    burst = rng.poisson(1.2, n) + rng.poisson(6, n) * (rng.random(n) < 0.03)
    abroad = rng.random(n) < 0.08
    channel = rng.choice(["chip", "contactless", "online", "phone"], n, p=[0.35, 0.35, 0.26, 0.04])
    age = rng.gamma(2.0, 400, n).round()
    score = (
        -5.9 + 1.2 * np.log(amount / usual) + 0.35 * burst + 1.4 * abroad - 0.0008 * age
        + np.array([0.0, 0.2, 1.6, 2.2])[pd.Categorical(channel, ["chip", "contactless", "online", "phone"]).codes]
        + 0.1 * np.sin(number / 29)
    )  # fmt: skip
    return pd.DataFrame(
        {
            "amount": amount,
            "usual_amount_90d": usual,
            "payments_24h": burst,
            "abroad": np.where(abroad, "yes", "no"),
            "channel": channel,
            "merchant_kind": rng.choice(["grocery", "fuel", "travel", "electronics", "games", "other"], n),
            "card_age_days": age.astype(int),
            "hour_local": rng.integers(0, 24, n),
            "fraud": yes_no(rng, logistic(score)),
        }
    )


FRAUD = IndustryTemplate(
    name="fraud",
    title="card payments that the owner of the card did not make",
    why="one payment in a hundred is fraud: the area under the precision-recall curve judges, "
    "a miss costs fifty checks, and a payment waits for the prediction: at most 20 ms a row",
    model={
        "task": "binary", "target": "fraud", "positive": "yes", "metric": "pr_auc",
        "key": ("payment_id",), "time": "paid_at",
    },
    day=day,
    specs={
        "FEATURES": FeatureSpec(steps=(Ratio(numerator="amount", denominator="usual_amount_90d"),)),
        "ENSEMBLE": EnsembleSpec(threshold="cost", cost_false_negative=50.0, cost_false_positive=1.0),
        "EVALUATE": EvaluateSpec(slices=("channel",), slice_margin=0.1, slice_rows=200, max_row_ms=20.0),
    },
    rules=(
        ("expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "strict_min": True}),
        ("expect_column_values_to_be_between", {"column": "payments_24h", "min_value": 0}),
        ("expect_column_values_to_be_between", {"column": "hour_local", "min_value": 0, "max_value": 23}),
    ),
    label_days=7,
    missing={"usual_amount_90d": 0.02, "merchant_kind": 0.01},
)  # fmt: skip
