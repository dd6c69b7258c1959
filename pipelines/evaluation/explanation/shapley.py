"""What each feature adds to single predictions: TreeSHAP where boosters predict, else sampled Shapley values.

TreeSHAP is the boosters' own (``pred_contrib``), exact, of the sum of leaves: log odds, or a number or its logarithm.
For numbers it is exact of a weighted sum of boosters too. Other combinations have no tree to walk: predictions are
made along random orders of the features, each walked forth and back (Castro et al. 2009; antithetic pairs as in
Mitchell et al. 2022), in the unit of the prediction. Both add up to the prediction. The ``shap`` package would do the
second too, five times slower in Python loops, and brings numba and llvmlite for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.ensemble.combine import SUMS
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.members.combination_nodes import BAG

Array = NDArray[np.float64]
EXACT, WEIGHTED, SAMPLED = "exact (TreeSHAP)", "exact (TreeSHAP, weighted)", "sampled"
"""How the values were found, in the words of the report."""
PAIRS = 3
MOST_PREDICTIONS = 30_000
"""Most rows that the model predicts."""
LEAST_ROWS, MOST_ROWS = 10, 200


def contributions(ensemble: Ensemble, X: Array, classes: int, seed: int) -> tuple[NDArray[np.intp], Array, str]:
    """Explain some rows of ``X`` (n, p) spread evenly over it.

    Returns
    -------
    rows : (m,) indices of rows of X
    phi : (m, p)
        What each feature adds: to the value, or to the probability (TreeSHAP: log odds) of class 1, of several
        classes to that of the predicted one.
    how : ``EXACT``, ``WEIGHTED`` or ``SAMPLED``
    """
    p = X.shape[1]
    fit = MOST_PREDICTIONS // (2 * PAIRS * (p + 1))
    count = min(len(X), max(LEAST_ROWS, min(MOST_ROWS, fit)))
    rows = np.linspace(0, len(X) - 1, count).astype(np.intp)
    exact = _exact(ensemble, X[rows], classes) if classes <= 2 else None
    if exact is not None:
        return rows, exact[0][:, :p], exact[1]
    best = ensemble.predict(X[rows]).argmax(axis=1) if classes else np.zeros(count, np.intp)

    def ask(batch: Array) -> Array:
        y_pred = ensemble.predict(batch)
        if not classes:
            return y_pred
        column = np.ones(len(batch), np.intp) if classes == 2 else np.tile(best, len(batch) // count)
        return np.asarray(y_pred[np.arange(len(batch)), column])

    return rows, sampled(ask, X[rows], X, seed), SAMPLED


def _exact(ensemble: Ensemble, X: Array, classes: int) -> tuple[Array, str] | None:
    """Return TreeSHAP, (m, p + 1), where boosters alone predict, and how it was found.

    Shapley values of a weighted sum are the weighted sum of the parts' values: exact where each part's prediction is a
    sum of leaves, so not of probabilities, nor where a link transforms the sum.
    """
    kind, weights = ensemble.combine["kind"], ensemble.combine["weights"]
    used = [(weight, node) for weight, node in zip(weights, ensemble.nodes, strict=True) if weight != 0.0]
    terms = [(weight / len(node.parts), part) for weight, node in used for part in node.parts]
    plain = all(node.kind in ("member", BAG) and not node.inputs for _, node in used)
    boosters = [(weight, part) for weight, part in terms if isinstance(part, LightGBMMember)]
    if not plain or len(boosters) < len(terms) or ensemble.calibration is not None:
        return None
    if len(terms) == 1 and kind in SUMS:
        return tree_contributions(boosters[0][1], X), EXACT
    if classes or not all(part.sums_leaves for _, part in boosters):
        return None
    return np.sum([weight * tree_contributions(part, X) for weight, part in boosters], axis=0), WEIGHTED


def tree_contributions(member: LightGBMMember, X: Array) -> Array:
    """Return TreeSHAP of a booster with one output, (n, p + 1) with the expectation last."""
    return np.asarray(member.booster.predict(member.read(X), pred_contrib=True, num_threads=1), dtype=np.float64)


def sampled(ask: Callable[[Array], Array], X: Array, background: Array, seed: int) -> Array:
    """Sample Shapley values of ``ask`` for the rows of ``X`` (m, p) against rows of ``background`` (n, p).

    ``ask`` gets blocks of m rows, in the order of ``X``, behind each other. Per row the values add up to its
    prediction less the mean prediction of the background rows that were drawn for it.
    """
    rng = np.random.default_rng(seed)
    m, p = X.shape
    phi = np.zeros((m, p))
    for _ in range(PAIRS):
        start, forth = background[rng.integers(0, len(background), m)], rng.permutation(p)
        for order in (forth, forth[::-1]):
            path = np.repeat(start[None], p + 1, axis=0)
            for step, feature in enumerate(order, start=1):
                path[step:, :, feature] = X[:, feature]
            predictions = ask(path.reshape(-1, p)).reshape(p + 1, m)
            phi[:, order] += np.diff(predictions, axis=0).T
    return phi / (2 * PAIRS)


def attention(phi: Array, X: Array, features: Sequence[tuple[str, bool]]) -> list[dict[str, Any]]:
    """Sum up per feature, the heaviest first: mean absolute contribution, share of all, and which way it pulls.

    ``pulls`` is the correlation of value and contribution: 1, the more the more; near 0, neither or both ways; None for
    codes, which have no more or less.

    Parameters
    ----------
    features
        Name and whether it is a number, in the order of the columns.
    """
    weight = np.abs(phi).mean(axis=0)
    total = weight.sum() or 1.0
    found = []
    for column, (name, numeric) in enumerate(features):
        given = np.isfinite(X[:, column])
        x, y = X[given, column], phi[given, column]
        moves = len(x) > 2 and x.std() > 0 and y.std() > 0
        found.append(
            {
                "feature": name,
                "mean": float(weight[column]),
                "share": float(weight[column] / total),
                "pulls": (float(np.corrcoef(x, y)[0, 1]) if moves else 0.0) if numeric else None,
            }
        )
    return sorted(found, key=lambda entry: (-entry["mean"], entry["feature"]))
