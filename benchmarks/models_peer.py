"""One peer on one table, in the peer's own environment: needs pandas, numpy and the peer, nothing of this project.

    .bench-flaml/bin/python benchmarks/models_peer.py flaml SET_FOLDER OUT_FOLDER BUDGET_SECONDS SEED

Leaves ``answers.npy`` (values, or probabilities in the order of the set's classes) and ``cell.json``.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Predict = Callable[[pd.DataFrame], np.ndarray]
CORES = 2
ONE_ROWS, MANY_ROWS, MANY_TIMES = 100, 1_000, 5


def main() -> int:
    """Fit, predict, measure."""
    system, source, out, budget, seed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5]
    meta = json.loads((source / "meta.json").read_text())
    dates = [meta["time"]] if meta["time"] else []
    train = pd.read_csv(source / "train.csv", parse_dates=dates, low_memory=False, dtype=_texts(meta))
    test = pd.read_csv(source / "test.csv", parse_dates=dates, low_memory=False)
    whole = [name for name in test if test[name].dtype.kind == "i" and train[name].dtype.kind == "f"]
    test = test.astype(dict.fromkeys(whole, "float64"))
    predict, facts = SYSTEMS[system](train, meta, out, float(budget), int(seed))
    facts["bytes"] = sum(path.stat().st_size for path in (out / "model").rglob("*") if path.is_file())
    predictions = predict(test)
    np.save(out / "answers.npy", np.asarray(predictions, dtype=np.float64), allow_pickle=False)
    facts |= speed(predict, test)
    (out / "cell.json").write_text(json.dumps(facts, indent=1))
    return 0


def speed(predict: Predict, test: pd.DataFrame) -> dict[str, float]:
    """Time predictions in process, raw rows to predictions: median of single rows (mappings) and of 1,000 rows."""
    rows = test.head(ONE_ROWS).to_dict("records")
    kinds = test.dtypes.to_dict()
    many = test.head(MANY_ROWS)

    def one(row: dict[str, Any]) -> None:
        predict(pd.DataFrame([row]).astype(kinds))

    one(rows[0])
    predict(many)
    return {
        "row_ms": 1e3 * statistics.median(timed(one, row) for row in rows),
        "rows_ms": 1e3 * statistics.median(timed(predict, many) for _ in range(MANY_TIMES)),
    }


def timed(call: Callable[[Any], Any], argument: Any) -> float:
    """Return the seconds of a call."""
    started = time.perf_counter()
    call(argument)
    return time.perf_counter() - started


def autogluon(train: pd.DataFrame, meta: dict[str, Any], out: Path, budget: float, seed: int) -> tuple[Predict, dict]:
    """AutoGluon's ``best_quality``; its size is that of ``clone_for_deployment``, and its models stay in memory.

    A set of more than two classes has them in the order of their names, which is the set's.
    """
    from autogluon.tabular import TabularPredictor

    metric = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}[meta["metric"]]
    predictor = TabularPredictor(label=meta["target"], eval_metric=metric, path=str(out / "all"), verbosity=2)
    started = time.monotonic()
    predictor.fit(
        train,
        presets="best_quality",
        time_limit=budget,
        num_cpus=CORES,
        num_gpus=0,
        ag_args_ensemble={"model_random_seed": seed},
    )
    seconds = time.monotonic() - started
    predictor.clone_for_deployment(str(out / "model"))
    found = TabularPredictor.load(str(out / "model"))
    found.persist()
    best = found.model_best

    def predict(rows: pd.DataFrame) -> np.ndarray:
        if not meta["classes"]:
            return found.predict(rows).to_numpy()
        return found.predict_proba(rows)[meta["classes"]].to_numpy()

    leaders = predictor.leaderboard(silent=True)
    shutil.rmtree(out / "all")
    return predict, {"winner": best, "models": len(leaders), "fit_seconds": seconds}


def flaml(train: pd.DataFrame, meta: dict[str, Any], out: Path, budget: float, seed: int) -> tuple[Predict, dict]:
    """FLAML's best single learner."""
    return _flaml(train, meta, out, budget, seed, ensemble=False)


def flaml_ensemble(train: pd.DataFrame, meta: dict[str, Any], out: Path, budget: float, seed: int) -> tuple:
    """FLAML's stack of its best learners."""
    return _flaml(train, meta, out, budget, seed, ensemble=True)


def _flaml(
    train: pd.DataFrame, meta: dict[str, Any], out: Path, budget: float, seed: int, *, ensemble: bool
) -> tuple[Predict, dict]:
    import pickle  # what FLAML's manual says to keep a model with; only its size is asked

    from flaml import AutoML

    found = AutoML()
    started = time.monotonic()
    found.fit(
        train.drop(columns=meta["target"]),
        train[meta["target"]],
        task="regression" if meta["task"] == "regression" else "classification",
        metric={"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "rmse"}[meta["metric"]],
        time_budget=budget,
        ensemble=ensemble,
        n_jobs=CORES,
        seed=seed,
        verbose=2,
    )
    seconds = time.monotonic() - started
    (out / "model").mkdir()
    (out / "model" / "model.pickle").write_bytes(pickle.dumps(found, protocol=pickle.HIGHEST_PROTOCOL))

    def predict(rows: pd.DataFrame) -> np.ndarray:
        if not meta["classes"]:
            return np.asarray(found.predict(rows))
        indices = [list(found.classes_).index(name) for name in meta["classes"]]
        return np.asarray(found.predict_proba(rows))[:, indices]

    return predict, {
        "winner": str(found.best_estimator),
        "models": len(found.best_config_per_estimator),
        "fit_seconds": seconds,
    }


def lightgbm(train: pd.DataFrame, meta: dict[str, Any], out: Path, budget: float, seed: int) -> tuple[Predict, dict]:
    """LightGBM as it comes, up to 500 trees, stopped early on a tenth of the rows; texts are categories."""
    import lightgbm as lgb

    source = _parts(train.drop(columns=meta["target"]), meta["time"])
    levels = {
        name: pd.CategoricalDtype(sorted(source[name].dropna().unique())) for name in source.select_dtypes("object")
    }
    data = source.astype(levels)
    labels = train[meta["target"]]
    truth = labels.map({name: index for index, name in enumerate(meta["classes"])}) if meta["classes"] else labels
    aside = np.random.default_rng(seed).random(len(data)) < 0.1
    if meta["time"]:
        aside = (train[meta["time"]] >= train[meta["time"]].quantile(0.9)).to_numpy()
    kind = lgb.LGBMClassifier if meta["classes"] else lgb.LGBMRegressor
    found = kind(n_estimators=500, random_state=seed, n_jobs=CORES, verbosity=-1)
    started = time.monotonic()
    found.fit(
        data[~aside],
        truth[~aside],
        eval_set=[(data[aside], truth[aside])],
        eval_metric={"roc_auc": "auc", "log_loss": "multi_logloss", "rmse": "rmse"}[meta["metric"]],
        callbacks=[lgb.early_stopping(50, verbose=False)],
    )
    seconds = time.monotonic() - started
    (out / "model").mkdir()
    found.booster_.save_model(str(out / "model" / "model.txt"))

    def predict(rows: pd.DataFrame) -> np.ndarray:
        ready = _parts(rows, meta["time"]).astype(levels)
        return np.asarray(found.predict_proba(ready) if meta["classes"] else found.predict(ready))

    return predict, {"winner": "lightgbm", "models": 1, "fit_seconds": seconds}


def _parts(rows: pd.DataFrame, moment: str | None) -> pd.DataFrame:
    """Replace a timestamp by its month, day, weekday and hour."""
    if moment is None:
        return rows
    parts = {f"{moment}.{part}": getattr(rows[moment].dt, part) for part in ("month", "day", "weekday", "hour")}
    return rows.drop(columns=moment).assign(**parts)


def _texts(meta: dict[str, Any]) -> dict[str, str]:
    """Keep labels texts: else ``true`` and ``false`` are read as truth values."""
    return {meta["target"]: "str"} if meta["classes"] else {}


SYSTEMS = {"autogluon": autogluon, "flaml": flaml, "flaml_ensemble": flaml_ensemble, "lightgbm": lightgbm}

if __name__ == "__main__":
    sys.exit(main())
