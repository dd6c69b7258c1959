"""Models that were made elsewhere: files, schemas and samples as people have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PLANS = ("monthly", "yearly")
SKLEARN = {
    "task": "binary",
    "target": "churned",
    "classes": ["no", "yes"],
    "positive": "yes",
    "key": ["id"],
    "columns": [
        {"name": "tenure", "kind": "number", "fill": 0},
        {"name": "plan", "kind": "category", "levels": list(PLANS), "unknown": "monthly"},
    ],
}
TORCH = SKLEARN | {
    "inputs": [{"name": "numbers", "columns": ["tenure"]}, {"name": "plan", "columns": ["plan"]}],
    "output": {"scores": "logits"},
}


def rows(count: int = 80, seed: int = 0) -> pd.DataFrame:
    """Make rows of a churn table with their label."""
    random = np.random.default_rng(seed)
    tenure = random.normal(30, 12, count).round(1)
    plan = random.choice(PLANS, count)
    churned = np.where(tenure + 12 * (plan == "yearly") + random.normal(0, 8, count) < 32, "yes", "no")
    return pd.DataFrame({"id": np.arange(count), "tenure": tenure, "plan": plan, "churned": churned})


def sklearn_pipeline(seed: int = 0) -> Any:
    """Fit a pipeline on texts and numbers."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = rows(400, seed)
    parts = [("n", StandardScaler(), ["tenure"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["plan"])]
    return make_pipeline(ColumnTransformer(parts), LogisticRegression()).fit(table[["tenure", "plan"]], table.churned)


def sklearn_files(folder: Path, seed: int = 0, **schema: Any) -> dict[str, Path]:
    """Write a scikit-learn pipeline as ONNX with the options that skl2onnx has by default, its schema and samples."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    folder.mkdir(parents=True, exist_ok=True)
    fitted, table = sklearn_pipeline(seed), rows(40, seed + 100)
    kinds = [("tenure", FloatTensorType([None, 1])), ("plan", StringTensorType([None, 1]))]
    (folder / "churn.onnx").write_bytes(to_onnx(fitted, initial_types=kinds).SerializeToString())
    table["prediction"] = fitted.predict(table[["tenure", "plan"]])
    table["probability"] = fitted.predict_proba(table[["tenure", "plan"]])[:, 1]
    table.drop(columns="churned").to_csv(folder / "samples.csv", index=False)
    (folder / "schema.json").write_text(json.dumps(SKLEARN | schema))
    return {"file": folder / "churn.onnx", "schema": folder / "schema.json", "samples": folder / "samples.csv"}
