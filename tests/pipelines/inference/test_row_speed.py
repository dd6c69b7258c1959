from __future__ import annotations

import statistics
import time
from pathlib import Path

import learning
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.inference.plan import FeaturePlan
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

ADULT = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
]  # fmt: skip
ROWS = 3_000


@pytest.mark.real_data
def test_one_row_of_adult_goes_through_recipe_and_plan_in_a_third_of_a_millisecond(
    shared_data: Path, home: Settings, tmp_path: Path
) -> None:
    path = shared_data / "adult" / "adult-train.csv.gz"
    frame = pd.read_csv(path, header=None, names=ADULT, dtype="str", keep_default_na=False, nrows=ROWS)
    raw = pa.Table.from_pandas(frame, preserve_index=False)
    for name, values in {
        "_key": pa.array(map(str, range(ROWS))),
        "_time": pa.nulls(ROWS, pa.timestamp("us", "UTC")),
        "_sealed": pa.array(np.arange(ROWS) % 10 == 0),
        "_weight": pa.array(np.ones(ROWS)),
    }.items():
        raw = raw.append_column(name, values)
    model = ModelSpec(name="adult", task="binary", target="income", positive=">50K")
    made = learning.data_stages(tmp_path, home, learning.make_night(model=model), raw)
    plan = FeaturePlan.load(made["features"].path / "plan")
    recipe = plan.recipe.subset(plan.sources)
    rows = frame[plan.sources].head(500).to_dict(orient="records")
    assert len(rows[0]) == 14
    seconds = []
    for row in rows:
        started = time.perf_counter()
        vector = plan.transform_row(recipe.apply_row(row))
        seconds.append(time.perf_counter() - started)
    assert vector.shape == (len(plan.features),)
    assert statistics.median(seconds) <= 0.3e-3
