"""From scores to probabilities: calibration on rows held back (Platt); absent classes are ruled out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.base import Array, ClassIndices, TaskInfo
from pipelines.inference.members.linear import LinearMember

NEVER = -30.0
"""Score of a class that was not learned from; its probability is below 1e-12."""
EVERY, LEAST = 5, 20
"""One row of this many is held back in each class; fewer rows than the least in all, and none is."""
ANCHOR = 1.0
"""Weight of an artificial row of each class with the score of a certain prediction: a prior for small samples."""


def held_back(y: Array, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows to learn a score from and which to calibrate it with; both are all rows where there are few."""
    held = np.zeros(len(y), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(y))
    for label in np.unique(y):
        held[order[y[order] == label][EVERY - 1 :: EVERY]] = True
    everything = np.ones(len(y), dtype=bool)
    return (everything, everything) if held.sum() < LEAST else (~held, held)


def calibrate(scores: Array, y: Array, w: Array, present: ClassIndices, classes: int) -> tuple[Array, Array]:
    """Learn the logistic regression from scores to classes.

    Parameters
    ----------
    scores
        (n, k) one per class of ``present``; 1 is a sure yes, -1 / (k - 1) a sure no.
    y, w
        (n,) class index and weight of each row.
    present
        The k classes that the scores are about.
    classes
        All classes.

    Returns
    -------
    scale, bias
        (k, outputs) and (outputs,): ``scores @ scale + bias`` is the log odds of class 1 when there are two classes,
        and goes through a softmax otherwise.

    Notes
    -----
    Platt: Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers (1999).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    labels = np.asarray(present, dtype=np.intp)
    outputs = 1 if classes == 2 else classes
    scale, bias = np.zeros((len(labels), outputs)), np.full(outputs, NEVER)
    if len(labels) == 1:
        bias[labels[0] if outputs > 1 else 0] = 0.0 if outputs > 1 else -NEVER if labels[0] == 1 else NEVER
        return scale, bias
    sure = np.full((len(labels), len(labels)), -1.0 / (len(labels) - 1))
    np.fill_diagonal(sure, 1.0)
    X = np.concatenate([scores, sure])
    label = np.concatenate([y.astype(np.intp), labels])
    weight = np.concatenate([w / w.mean(), np.full(len(labels), ANCHOR)])
    model: Any = LogisticRegression(C=10.0, max_iter=200)
    with warnings.catch_warnings():
        # A calibration that stops short of full convergence is judged by the out-of-fold score like all else.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[:, 1:] if len(labels) == 2 else X, label, sample_weight=weight)
    if len(labels) > 2:
        scale[:, labels] = model.coef_.T
        bias[labels] = model.intercept_
    else:
        column = 0 if outputs == 1 else labels[1]
        scale[1, column], bias[column] = model.coef_[0, 0], model.intercept_[0]
        if outputs > 1:
            bias[labels[0]] = 0.0
    return scale, bias


def votes(values: Array, k: int) -> Array:
    """Return 1 for the greatest of (n, k) values, the first of equal ones, and -1 / (k - 1) for the others."""
    out = np.full((len(values), k), -1.0 / max(1, k - 1))
    out[np.arange(len(values)), values.argmax(axis=1)] = 1.0
    return out


def constant_member(y: Array, w: Array, shape: TaskInfo) -> LinearMember:
    """Return a member that predicts the rows' only class, or their mean, where a library refuses to fit such rows."""
    if shape.classes:
        return LinearMember([], np.zeros((0, 1)), np.zeros(1), [int(y[0])], shape.classes)
    return LinearMember([], np.zeros((0, 1)), np.array([np.average(y, weights=w)]), [], 0)
