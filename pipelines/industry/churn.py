"""Customers of a subscription who will leave."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.deployment.spec import DeploySpec
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.features.spec import FeatureSpec, Ratio
from pipelines.industry.template import IndustryTemplate, Rng, logistic, yes_no


def day(rng: Rng, number: int) -> pd.DataFrame:
    """Return the customers who come up for renewal on a day."""
    n = int(rng.poisson(220))
    contract = rng.choice(["monthly", "yearly", "two years"], n, p=[0.55, 0.3, 0.15])
    tenure = np.clip(rng.gamma(1.6, 14, n), 0, 120).round()
    fee = np.clip(rng.normal(62, 24, n), 9, 180).round(2)
    usage = np.clip(rng.gamma(2.2, 9, n) * (1 - 0.05 * np.sin(number / 58)), 0, None).round(1)
    before = np.clip(usage * rng.lognormal(0.05, 0.35, n), 0.1, None).round(1)
    calls = rng.poisson(0.9 + 0.8 * (fee > 90))
    late = rng.poisson(0.25, n)
    payment = rng.choice(["direct debit", "card", "invoice"], n, p=[0.5, 0.35, 0.15])
    score = (
        -1.6 + np.array([1.1, -0.5, -1.3])[pd.Categorical(contract, ["monthly", "yearly", "two years"]).codes]
        - 0.022 * tenure + 0.012 * (fee - 62) + 0.42 * np.minimum(calls, 5) + 0.35 * late
        - 1.3 * np.tanh(usage / before - 1) + 0.4 * (payment == "invoice")
    )  # fmt: skip
    return pd.DataFrame(
        {
            "contract": contract,
            "tenure_months": tenure.astype(int),
            "monthly_fee": fee,
            "usage_30d": usage,
            "usage_prior_30d": before,
            "support_calls_90d": calls,
            "late_payments_1y": late,
            "payment": payment,
            "region": rng.choice([f"region {letter}" for letter in "ABCDEFGH"], n),
            "churned": yes_no(rng, logistic(score)),
        }
    )


CHURN = IndustryTemplate(
    name="churn",
    title="customers of a subscription who will leave",
    why="a lost customer costs more than an offer made in vain: the threshold weighs 5 to 1; each contract is judged",
    model={"task": "binary", "target": "churned", "positive": "yes", "key": ("renewal_id",), "time": "due_at"},
    day=day,
    specs={
        "FEATURES": FeatureSpec(steps=(Ratio(numerator="usage_30d", denominator="usage_prior_30d"),)),
        "ENSEMBLE": EnsembleSpec(threshold="cost", cost_false_negative=5.0, cost_false_positive=1.0),
        "EVALUATE": EvaluateSpec(slices=("contract",), slice_margin=0.03, max_calibration_error=0.08),
        "DEPLOY": DeploySpec(floor_score=0.6),
    },
    rules=(
        ("expect_column_values_to_be_between", {"column": "tenure_months", "min_value": 0, "max_value": 1200}),
        ("expect_column_values_to_be_between", {"column": "monthly_fee", "min_value": 0}),
        ("expect_column_values_to_be_between", {"column": "support_calls_90d", "min_value": 0}),
    ),
    label_days=14,
    missing={"usage_prior_30d": 0.03, "payment": 0.01},
)
