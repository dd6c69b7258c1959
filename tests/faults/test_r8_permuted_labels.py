"""R8, the data path's part: with labels that mean nothing, no feature may tell anything of them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import learning
import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from pipelines import storage
from pipelines.algorithms.training_data import Columns, load_columns
from pipelines.features import stage as features
from pipelines.features.spec import FeatureSpec, Rolling, Select, TargetEncode
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.settings import Settings

pytestmark = pytest.mark.fault
FULL = os.environ.get("AIMASS_FULL") == "1"
SEEDS = range(20 if FULL else 5)
ROWS = 500
STEPS = {
    "encoding": (
        TargetEncode(columns=("many", "few"), strength=1.0),
        TargetEncode(columns=("few", "dest"), strength=0.0, together=True),
        Rolling(entity=("dest",), value="label", window_days=20.0, how=("mean", "count")),
    ),
    "selection": (TargetEncode(columns=("many",)), Select(by="mutual_information", limit=0.0, most=4)),
    "shadow": (Select(by="shadow", limit=0.0),),
}


def clean_rows() -> pa.Table:
    """Clean training rows with folds by day; no column has any meaning."""
    rng = np.random.default_rng(0)
    hours = rng.permutation(ROWS * 2)[:ROWS]
    moments = pa.array(np.datetime64("2026-01-01", "us") + hours * np.timedelta64(1, "h"))
    columns = {
        "many": [f"m{value}" for value in rng.integers(0, 250, ROWS)],
        "few": [f"f{value}" for value in rng.integers(0, 60, ROWS)],
        "dest": [f"d{value}" for value in rng.integers(0, 25, ROWS)],
        **{f"x{index}": rng.normal(size=ROWS) for index in range(20)},
        "_key": [str(row) for row in range(ROWS)],
        "_time": moments.cast(pa.timestamp("us", "UTC")),
        "_weight": rng.uniform(1.0, 2.0, ROWS),
        "_fold": pa.array(hours // 24 * 7 % 5, pa.int8()),
        "_y": rng.choice(["no", "yes"], ROWS),
    }
    return pa.table(columns)


def permuted(spec: FeatureSpec, seed: int, home: Settings, root: Path) -> Columns:
    """The feature columns of the same rows with their labels shuffled."""
    rows, night = clean_rows(), learning.make_night()
    order = np.random.default_rng(seed).permutation(ROWS)
    rows = rows.set_column(rows.column_names.index("_y"), "_y", rows["_y"].take(pa.array(order)))
    storage.write_table(rows, root / "split" / "train")
    kinds = {name: "number" if name.startswith("x") else "category" for name in rows.column_names if name[0] != "_"}
    recipe = RowRecipe(tuple(Column(name, kind) for name, kind in kinds.items()))  # type: ignore[arg-type]
    for folder in ("cleaned", "features"):
        (root / folder).mkdir()
    (root / "cleaned" / "recipe.json").write_text(recipe.to_json())
    inputs = {name: learning.artifact(name, root / name) for name in ("split", "cleaned")}
    features.run(spec, night=night, settings=home, out=root / "features", **inputs)
    return load_columns(root / "features", night.model)


def score(columns: Columns) -> float:
    """Out-of-fold AUC of trees that look at no row of the fold that judges them, not even to know when to stop."""
    prediction = np.empty(len(columns.y))
    for fold in columns.folds:
        train, valid, _ = columns.sides(fold)
        trees = ExtraTreesClassifier(30, max_features=0.6, min_samples_leaf=2, random_state=0)
        trees.fit(train.X, train.y, sample_weight=train.w)
        prediction[columns.fold == fold] = trees.predict_proba(valid.X)[:, 1]
    return float(roc_auc_score(columns.y, prediction, sample_weight=columns.w))


def above_chance(scores: list[float]) -> float:
    """How many standard errors the mean AUC lies above one half."""
    return (float(np.mean(scores)) - 0.5) / (float(np.std(scores, ddof=1)) / len(scores) ** 0.5)


@pytest.mark.parametrize("steps", [name for name in STEPS if FULL or name != "shadow"])
def test_permuted_labels_score_as_chance(steps: str, home: Settings, tmp_path: Path) -> None:
    spec = FeatureSpec(steps=STEPS[steps])
    scores, blind = [], []
    for seed in SEEDS:
        columns = permuted(spec, seed, home, tmp_path / str(seed))
        scores.append(score(columns))
        if steps != "encoding":
            blind.append(score(dataclasses.replace(columns, views={})))
    assert above_chance(scores) < 3.0, scores
    if blind:  # what choosing outside the folds would have shown: the check has teeth
        assert np.mean(blind) > np.mean(scores) + 0.015, (scores, blind)
