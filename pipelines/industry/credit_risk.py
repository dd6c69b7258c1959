"""Loans that will not be paid back."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.ensembling.spec import EnsembleSpec
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.features.spec import FeatureSpec, Ratio
from pipelines.industry.template import IndustryTemplate, Rng, logistic, yes_no


def day(rng: Rng, number: int) -> pd.DataFrame:
    """Return the loans granted on a day."""
    n = int(rng.poisson(240))
    income = rng.lognormal(10.4, 0.45, n).round(-1)
    amount = np.clip(rng.lognormal(9.1, 0.7, n), 500, 90_000).round(-1)
    rate = (amount / rng.choice([24, 36, 48, 60], n)).round(2)
    use = np.clip(rng.beta(1.6, 2.6, n), 0, 1).round(3)
    years = np.clip(rng.gamma(2.0, 5.0, n), 0, 45).round(1)
    late = rng.poisson(0.3 + 0.7 * use)
    score = (
        -2.7 + 2.4 * (use - 0.38) + 0.75 * np.minimum(late, 4) - 0.04 * np.minimum(years, 25)
        + 5.0 * np.tanh(12 * rate / np.maximum(income, 4_000) - 0.15) + 0.05 * np.sin(number / 58)
    )  # fmt: skip
    return pd.DataFrame(
        {
            "income_year": income,
            "amount": amount,
            "payment_month": rate,
            "card_use": use,
            "credit_years": years,
            "late_payments_2y": late,
            "purpose": rng.choice(
                ["car", "home", "consolidation", "education", "other"], n, p=[0.3, 0.2, 0.25, 0.1, 0.15]
            ),
            "employment": rng.choice(["employed", "self-employed", "retired", "none"], n, p=[0.7, 0.13, 0.12, 0.05]),
            "age_group": rng.choice(["18-29", "30-44", "45-59", "60+"], n, p=[0.25, 0.35, 0.25, 0.15]),
            "defaulted": yes_no(rng, logistic(score)),
        }
    )


CREDIT_RISK = IndustryTemplate(
    name="credit_risk",
    title="loans that will not be paid back",
    why="a default costs ten declined good loans; probabilities are calibrated, because prices are made of them; "
    "rates by age group are compared by the four-fifths rule",
    model={"task": "binary", "target": "defaulted", "positive": "yes", "key": ("loan_id",), "time": "granted_at"},
    day=day,
    specs={
        "FEATURES": FeatureSpec(steps=(Ratio(numerator="payment_month", denominator="income_year"),)),
        "ENSEMBLE": EnsembleSpec(threshold="cost", cost_false_negative=10.0, cost_false_positive=1.0),
        "EVALUATE": EvaluateSpec(fairness=("age_group",), slices=("employment",), max_calibration_error=0.08),
    },
    rules=(
        ("expect_column_values_to_be_between", {"column": "income_year", "min_value": 0}),
        ("expect_column_values_to_be_between", {"column": "amount", "min_value": 1}),
        ("expect_column_values_to_be_between", {"column": "card_use", "min_value": 0, "max_value": 2}),
    ),
    label_days=10,
    missing={"income_year": 0.04, "card_use": 0.05, "employment": 0.02},
)
