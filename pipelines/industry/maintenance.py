"""Machines that will fail within a week."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.ensembling.spec import EnsembleSpec
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.features.spec import Difference, FeatureSpec
from pipelines.industry.template import IndustryTemplate, Rng, logistic, yes_no

KINDS = ("pump", "compressor", "conveyor", "fan")


def day(rng: Rng, number: int) -> pd.DataFrame:
    """Return the readings of every machine on a day."""
    fixed, n = np.random.default_rng(11), 180
    kind = fixed.integers(0, len(KINDS), n)
    offset = fixed.integers(0, 240, n)
    hours = ((number + offset) % 240) * 16.0 + rng.integers(0, 16, n)
    wear = hours / 3_840
    week = np.clip(2.0 + 1.2 * wear + 0.3 * kind + rng.normal(0, 0.2, n), 0.2, None).round(3)
    vibration = np.clip(week + rng.exponential(0.25 + 0.9 * wear**2, n) - 0.2, 0.2, None).round(3)
    temperature = (48 + 9 * wear + 4 * (kind == 1) + 3 * np.sin(number / 58) + rng.normal(0, 2.5, n)).round(1)
    pressure = (6.2 - 0.9 * wear + rng.normal(0, 0.25, n)).round(2)
    score = -4.6 + 2.4 * wear + 1.5 * (vibration - week) + 0.09 * (temperature - 52) - 0.7 * (pressure - 5.8)
    return pd.DataFrame(
        {
            "machine": [f"M-{1 + number:03d}" for number in range(n)],
            "kind": np.array(KINDS)[kind],
            "hours_since_service": hours,
            "vibration": vibration,
            "vibration_7d": week,
            "temperature": temperature,
            "pressure": pressure,
            "load_share": np.clip(rng.beta(5, 2, n), 0, 1).round(2),
            "fails_within_7d": yes_no(rng, logistic(score)),
        }
    )


MAINTENANCE = IndustryTemplate(
    name="maintenance",
    title="machines that will fail within a week",
    why="a stop costs twenty inspections; a sensor's change against its own week says more than its level",
    model={
        "task": "binary", "target": "fails_within_7d", "positive": "yes", "key": ("reading_id",), "time": "read_at",
        "drop": ("machine",),
    },
    day=day,
    specs={
        "FEATURES": FeatureSpec(steps=(Difference(left="vibration", right="vibration_7d"),)),
        "ENSEMBLE": EnsembleSpec(threshold="cost", cost_false_negative=20.0, cost_false_positive=1.0),
        "EVALUATE": EvaluateSpec(slices=("kind",), slice_margin=0.05),
    },
    rules=(
        ("expect_column_values_to_be_between", {"column": "hours_since_service", "min_value": 0}),
        ("expect_column_values_to_be_between", {"column": "vibration", "min_value": 0, "max_value": 100}),
        ("expect_column_values_to_be_between", {"column": "load_share", "min_value": 0, "max_value": 1.5}),
    ),
    label_days=7,
    missing={"pressure": 0.03, "load_share": 0.02},
)  # fmt: skip
