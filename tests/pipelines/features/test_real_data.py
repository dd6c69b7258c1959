from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from adult import COLUMNS as ADULT
from training import training_data

from pipelines.artifacts import Night
from pipelines.cleaning.clean import clean
from pipelines.cleaning.spec import CleanSpec
from pipelines.features.fit import fit_plan
from pipelines.features.spec import FeatureSpec
from pipelines.features.summary import summarise

pytestmark = pytest.mark.real_data


def test_dirty_rows_of_adult_give_the_same_numbers_in_batch_and_singly(
    shared_data: Path, tmp_path: Path, make_night: Callable[..., Night]
) -> None:
    with gzip.open(shared_data / "adult" / "adult-train.csv.gz") as stream:
        frame = pd.read_csv(stream, header=None, names=ADULT, dtype="str", keep_default_na=False)
    raw = pa.Table.from_pandas(frame, preserve_index=False)
    count = raw.num_rows
    for name, values in {
        "_key": pa.array(map(str, range(count))),
        "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
        "_sealed": pa.array(np.arange(count) % 10 == 0),
        "_weight": pa.array(np.ones(count)),
    }.items():
        raw = raw.append_column(name, values)
    result = clean(raw, make_night(target="income", positive=">50K").model, CleanSpec())
    assert result.report["labels"] == {"<=50K": 24720, ">50K": 7841}
    assert (result.report["quarantined"], result.report["exact_duplicates"]) == (0, 24)
    train = result.table.filter(pc.invert(result.table["_sealed"]))
    columns = train.select(result.recipe.names).to_pandas()
    data = training_data(
        tmp_path, columns, train["_y"].to_pylist(), np.arange(len(columns)) % 5, classes=["<=50K", ">50K"]
    )
    learned = fit_plan(result.recipe, summarise(train, result.recipe.kept), FeatureSpec(), data)
    plan, left_out = learned.plan, learned.left_out
    assert (plan.features, left_out) == (ADULT[:-1], {})
    examples = result.examples.to_pandas()
    assert (examples == " ?").to_numpy().sum() >= 50
    matrix = plan.transform(plan.recipe.apply(examples)[0])
    rows = [plan.transform_row(plan.recipe.apply_row(row)) for row in examples.to_dict("records")]
    np.testing.assert_array_equal(matrix, np.vstack(rows))
    assert (matrix == -1).sum() == (examples == " ?").to_numpy().sum()
