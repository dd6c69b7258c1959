"""Our side on one table, through its commands: `aimass init`, `aimass run --local`, `aimass predict`."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measure import Measured, measure

from pipelines import storage
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key
from pipelines.settings import Settings, load

NAME = "bench"
SEALED_ROWS = 200
"""Rows that judge promotion and train nothing: the fewest that let the gate decide; the peers learn from these too."""
TRAINING = ("features", "tune", "ensemble")
ONE_ROWS, MANY_ROWS, MANY_TIMES = 200, 1_000, 5


def run(
    meta: Mapping[str, Any], source: Path, out: Path, budget: float, seed: int, params: Sequence[str]
) -> dict[str, Any]:
    """Train on ``train.csv`` within the budget, predict ``test.csv``, measure.

    Parameters
    ----------
    params
        Settings for ``aimass run --param``, to try others than the defaults.
    """
    home = out / "home"
    shutil.rmtree(home, ignore_errors=True)
    (home / "dags").mkdir(parents=True)
    declare(meta, source, home, seed)
    settings = load(home=home, dags_folder=home / "dags")
    pairs = [*sealing(meta, source), "deploy__stop_before=true", *params]
    night = command(
        home, "run", NAME, "--local", "--budget-seconds", str(budget), *(f"--param={pair}" for pair in pairs)
    )
    if night.code:
        raise SystemExit(f"the night failed with {night.code}:\n{night.output[-3000:]}")
    with Ledger.open(settings) as ledger:
        version = ledger.versions(NAME)[-1]
        stages = {row.stage: row for row in ledger.stages(NAME, version.night)}
    table = out / "predictions.parquet"
    done = command(
        home,
        "predict",
        NAME,
        "--version",
        str(version.version),
        "--input",
        str(source / "test.csv"),
        "--output",
        str(table),
    )
    if done.code:
        raise SystemExit(f"aimass predict failed with {done.code}:\n{done.output[-3000:]}")
    np.save(out / "answers.npy", in_order(pd.read_parquet(table), meta), allow_pickle=False)
    model = storage.resolve(settings, version.model_uri)
    facts = ModelDirectory.open(model, public_key(settings)).facts
    timing = [sys.executable, __file__, str(home), str(model), str(source / "test.csv")]
    speed = subprocess.run(timing, capture_output=True, text=True, check=False)
    if speed.returncode:
        raise SystemExit(f"timing the predictions failed:\n{speed.stderr[-3000:]}")
    return {
        "fit_seconds": sum(stages[name].seconds for name in TRAINING),
        "budget_seconds": stages["tune"].seconds + stages["ensemble"].seconds,
        "process_seconds": night.seconds,
        "peak_bytes": night.peak,
        "bytes": sum(path.stat().st_size for path in model.rglob("*") if path.is_file()),
        "winner": f"{facts['combine']['kind']}: " + " ".join(member["family"] for member in facts["members"]),
        "models": stages["tune"].rows,
        "stage_seconds": {name: row.seconds for name, row in stages.items()},
        **json.loads(speed.stdout.splitlines()[-1]),
    }


def declare(meta: Mapping[str, Any], source: Path, home: Path, seed: int) -> None:
    """Write the DAG file as `aimass init` proposes it, with the seed."""
    options = ["--target", meta["target"], "--task", meta["task"], "--metric", meta["metric"]]
    options += ["--positive", meta["positive"]] if meta["positive"] else []
    options += ["--time", meta["time"]] if meta["time"] else []
    done = command(home, "init", NAME, "--source", str(source / "train.csv"), *options)
    if done.code:
        raise SystemExit(f"aimass init failed with {done.code}:\n{done.output[-3000:]}")
    dag = home / "dags" / f"retrain_{NAME}.py"
    text = dag.read_text()
    if "MODEL = ModelSpec(" not in text:
        raise SystemExit("the DAG file holds no MODEL = ModelSpec(")
    dag.write_text(text.replace("MODEL = ModelSpec(", f"MODEL = ModelSpec(seed={seed}, ", 1))


def sealing(meta: Mapping[str, Any], source: Path) -> list[str]:
    """Return settings that seal few rows: the test rows are enough to judge by here."""
    if meta["time"] is None:
        return [f"ingest__seal_share={max(0.005, min(0.1, SEALED_ROWS / meta['rows'][0])):.4f}"]
    moments = pd.read_csv(source / "train.csv", usecols=[meta["time"]], parse_dates=[meta["time"]])[meta["time"]]
    days = moments.dt.normalize().value_counts().sort_index(ascending=False).cumsum()
    return [f"ingest__seal_days={int((days < SEALED_ROWS).sum()) + 1}"]


def command(home: Path, *words: str) -> Measured:
    """Run ``aimass`` with a home of its own."""
    environment = {**os.environ, "AIMASS_HOME": str(home), "AIMASS_DAGS_FOLDER": str(home / "dags")}
    log = home / "commands.log"
    return measure([sys.executable, "-m", "pipelines.cli.main", *words], cwd=home, env=environment, log=log)


def in_order(predictions: pd.DataFrame, meta: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return values, or probabilities in the order of the set's classes."""
    if meta["task"] == "regression":
        return predictions["prediction"].to_numpy(dtype=np.float64)
    if meta["task"] == "binary":
        chance = predictions["probability"].to_numpy(dtype=np.float64)
        return np.column_stack([1.0 - chance, chance])
    return predictions[[f"probability_{label}" for label in meta["classes"]]].to_numpy(dtype=np.float64)


def speed(settings: Settings, model: Path, test: Path) -> dict[str, float]:
    """Time predictions in process, from raw row to prediction: the median of single rows and of 1,000 rows."""
    predictor = ModelDirectory.open(model, public_key(settings)).predictor
    frame = pd.read_csv(test, nrows=MANY_ROWS, low_memory=False)
    rows = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    predictor.warm()  # as the service does when it starts
    predictor.predict_frame(frame)
    singly = [timed(predictor.predict_rows, [row]) for row in rows[:ONE_ROWS]]
    return {
        "row_ms": 1e3 * statistics.median(singly),
        "row_p99_ms": 1e3 * float(np.quantile(singly, 0.99)),
        "rows_ms": 1e3 * statistics.median(timed(predictor.predict_frame, frame) for _ in range(MANY_TIMES)),
        "request_ms": 1e3 * statistics.median(timed(predictor.predict_rows, rows) for _ in range(MANY_TIMES)),
    }


def timed(call: Callable[[Any], Any], argument: Any) -> float:
    """Return the seconds of a call."""
    started = time.perf_counter()
    call(argument)
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(speed(load(home=Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))))
