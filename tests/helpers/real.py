"""Rows of the shared data sets as typed columns, some to learn from and some to judge by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.algorithms.base import Dataset, TaskInfo
from pipelines.algorithms.training_data import Columns

METRIC = {"adult": "roc_auc", "dry_bean": "log_loss", "california_housing": "rmse"}


def real_columns(shared: Path, name: str, rows: int, folds: int = 4) -> tuple[Columns, Dataset]:
    """Return ``rows`` rows with folds, and as many others."""
    frame, target = _read(shared / name, name)
    frame = frame.sample(min(2 * rows, len(frame)), random_state=0).reset_index(drop=True)
    labels = frame.pop(target)
    kinds, sizes, columns = [], [], []
    for column in frame.columns:
        if frame[column].dtype.kind in "if":
            kinds.append("number")
            sizes.append(0)
            columns.append(frame[column].to_numpy(np.float64))
        else:
            codes, levels = pd.factorize(frame[column], sort=True)
            kinds.append("code")
            sizes.append(len(levels))
            columns.append(codes.astype(np.float64))
    X = np.column_stack(columns)
    if name == "california_housing":
        classes, y, task = (), labels.to_numpy(np.float64), "regression"
    else:
        codes, levels = pd.factorize(labels, sort=True)
        classes, y = tuple(str(level) for level in levels), codes.astype(np.float64)
        task = "binary" if len(classes) == 2 else "multiclass"
    shape = TaskInfo(task, METRIC[name], len(classes), rows, tuple(kinds), tuple(sizes))
    fold = (np.arange(rows) % folds).astype(np.int8)
    names = tuple(str(column) for column in frame.columns)
    learn = Columns(X[:rows], y[:rows], np.ones(rows), fold, shape, names, classes)
    return learn, Dataset(X[rows:], y[rows:], np.ones(len(y) - rows))


def _read(folder: Path, name: str) -> tuple[pd.DataFrame, str]:
    if name == "adult":
        frame = pd.read_csv(folder / "adult-train.csv.gz", header=None, skipinitialspace=True)
        return frame.rename(columns={frame.columns[-1]: "label"}).rename(columns=str), "label"
    if name == "dry_bean":
        return pd.read_csv(folder / "Dry_Bean_Dataset.csv.gz", sep=";"), "Class"
    return pd.read_csv(folder / "housing.csv.gz"), "median_house_value"
