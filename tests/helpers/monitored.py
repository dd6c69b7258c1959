"""A home with one live model and logs of its requests and labels, as the gateway writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import storage
from pipelines.evaluation.report.reference_distribution import numbers, reference
from pipelines.gateway.feedback import SCHEMA as FEEDBACK
from pipelines.gateway.prediction_log import SCHEMA
from pipelines.inference.enrichment.request import EMPTY
from pipelines.inference.manifest import write_manifest
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.schema import ServeSchema
from pipelines.ledger import Ledger
from pipelines.secret_files import signing_key
from pipelines.settings import Settings


class Monitored:
    """A binary model ``demo`` of the columns of ``training``, whose version 1 is live."""

    def __init__(self, home: Settings, make_night: Callable[..., Any], training: pd.DataFrame) -> None:
        self.settings = home
        self.sent = 0
        columns = [name for name in training if not str(name).startswith("_")]
        described = reference(training, columns)
        p = probability(training[columns[0]].to_numpy(dtype=np.float64))
        described["(prediction)"] = numbers(p, "prediction")
        kinds: Any = {
            name: "number" if pd.api.types.is_numeric_dtype(training[name]) else "category" for name in columns
        }
        night = make_night(name="demo")
        with Ledger.open(home) as ledger:
            ledger.open_night(night, "platform")
            fence = ledger.begin_stage("demo", night.night, "evaluate")
            staging = storage.stage_folder(home, "evaluate")
            (staging / "reference.json").write_text(json.dumps(described))
            (staging / "expected.json").write_text(json.dumps({"sealed_rows": len(p)}))
            uri = "nights/demo/manual__1/evaluate-1"
            digest = storage.publish(staging, storage.resolve(home, uri), stage="evaluate")
            ref = {"uri": uri, "digest": digest, "stage": "evaluate", "rows": None, "meta": {}}
            ledger.finish_stage("demo", night.night, "evaluate", fence, state="done", ref=ref)
            source = home.run_dir / "model"
            (source / "plan").mkdir(parents=True)
            recipe = RowRecipe(tuple(Column(str(name), kinds[name]) for name in columns))
            (source / "plan" / "recipe.json").write_text(recipe.to_json())
            facts = {"format": 1, "classes": ["no", "yes"], "positive": "yes", "task": "binary"}
            (source / "model.json").write_text(json.dumps(facts))
            EMPTY.save(source / "plan" / "enrichment")
            ServeSchema("demo", "binary", "label", (), None, (), (), (), (), {}, private={}).save(source)
            write_manifest(source, signing_key(home).read_bytes())
            model_uri, model_digest = storage.adopt_model(home, source, "demo")
            ledger.reserve("demo", night.night, fence)
            ledger.assign_version("demo", night.night, fence)
            made = {"model_uri": model_uri, "model_digest": model_digest, "metric": "roc_auc", "score": 0.74}
            ledger.advance("demo", night.night, fence, state="registered", as_of=night.as_of, **made)
            ledger.switch("demo", 1, fence, "test", "test")
            ledger.observe("demo", 1, "ready", address="unix:/run/demo", pid=1)

    def ask(
        self, rows: pd.DataFrame, at: datetime, skill: float = 1.0, ms: float = 4.0, status: int = 200
    ) -> list[str]:
        """Log one request per row; return the ids.

        Parameters
        ----------
        skill
            0: its probabilities have nothing to do with the rows.
        """
        ids = [f"r{self.sent + number}" for number in range(len(rows))]
        self.sent += len(rows)
        known = rows.iloc[:, 0].to_numpy(dtype=np.float64)
        p = probability(known if skill else np.random.default_rng(self.sent).permutation(known))
        texts = [json.dumps({k: v for k, v in row.items() if v == v}) for row in rows.to_dict("records")]
        outputs = [json.dumps({"prediction": "yes" if each >= 0.5 else "no", "probability": float(each)}) for each in p]
        n = len(rows)
        table = {
            "request_id": ids,
            "at": [at] * n,
            "model": ["demo"] * n,
            "version": [1] * n,
            "instance": texts,
            "prediction": outputs,
            "status": [status] * n,
            "ms": [ms] * n,
            "row": [0] * n,
        }
        self._write("predictions", at, pa.table(table, schema=SCHEMA))
        return ids

    def label(self, ids: list[str], rows: pd.DataFrame, at: datetime) -> None:
        """Send what came true, drawn by the probabilities of a model that knows the rows."""
        p = probability(rows.iloc[:, 0].to_numpy(dtype=np.float64))
        hit = np.random.default_rng(len(ids)).random(len(ids)) < p
        table = {
            "request_id": ids,
            "row": [0] * len(ids),
            "label": ["YES" if one else "no" for one in hit],
            "at": [at] * len(ids),
            "token": ["test"] * len(ids),
        }
        self._write("feedback", at, pa.table(table, schema=FEEDBACK))

    def _write(self, folder: str, at: datetime, table: pa.Table) -> None:
        day = self.settings.storage / folder / "demo" / at.date().isoformat()
        day.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, day / f"{at:%H%M%S%f}-{self.sent}.parquet", write_page_checksum=True)


def probability(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the probability of ``yes`` by the value of the first column."""
    return np.asarray(1.0 / (1.0 + np.exp(-1.3 * np.nan_to_num(values))))
