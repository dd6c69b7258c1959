"""Boruta: which features are more important to boosted trees than shuffled copies of all features."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.inference.operations.base import Numbers

ROUNDS = 8
TREES = 40
ROWS = 10_000
"""Most rows that importance is measured on."""
CELLS = 4_000_000
"""Most numbers, without shuffled copies; fewer rows are used if there are many features."""


def shadow_hits(X: Numbers, y: Numbers, weight: Numbers, classes: int, seed: int) -> tuple[Numbers, Numbers]:
    """Compare features with shuffled copies.

    Parameters
    ----------
    X
        (n, p) with NaN; codes count as numbers.
    y, weight
        (n,) value or class index, and positive weights.
    classes
        0 for a regression.

    Returns
    -------
    share : (p,) of the rounds in which the feature's gain exceeded that of every shuffled copy
    score : (p,) mean of gain / best copy's gain

    Notes
    -----
    Kursa, Rudnicki: Feature selection with the Boruta package, Journal of Statistical Software 36(11), 2010; with the
    gain of boosted trees as importance. One thread and seeded: same inputs, same result.
    """
    import lightgbm  # only this way of selecting needs it

    objective: dict[str, Any] = {"objective": "regression"}
    if classes:
        objective = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
    share, score = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for number in range(ROUNDS):
        copies = np.random.default_rng([seed, number]).permuted(X, axis=0)
        options = {
            **objective,
            "verbosity": -1,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": seed + number,
            "num_leaves": 15,
            "learning_rate": 0.1,
            "min_data_in_leaf": max(3, len(y) // 200),
            "min_sum_hessian_in_leaf": 1e-3,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
        }
        data = lightgbm.Dataset(np.hstack([X, copies]), label=y, weight=weight / weight.mean(), params=options)
        gain = lightgbm.train(options, data, TREES).feature_importance("gain")
        best = float(gain[X.shape[1] :].max())
        share += (gain[: X.shape[1]] > best) / ROUNDS
        score += gain[: X.shape[1]] / max(best, 1e-300) / ROUNDS
    return share, score
