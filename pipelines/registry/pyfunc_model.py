"""The MLflow model, as code: predicts with the model directory stored beside it, whose signature is verified first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import pandas as pd


class PublishedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow's base class is untyped
    """Predicts raw rows with the model directory among its artifacts."""

    def load_context(self, context: Any) -> None:
        """Verify and read the model directory."""
        from pipelines.inference.model_directory import ModelDirectory

        key = Path(context.artifacts["public_key"]).read_bytes()
        self.predictor = ModelDirectory.open(Path(context.artifacts["model"]), key).predictor

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return the prediction of each row, in the order of the rows."""
        return self.predictor.predict_frame(model_input)


mlflow.models.set_model(PublishedModel())
