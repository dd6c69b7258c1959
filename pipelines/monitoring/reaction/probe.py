"""The probe: would a model that learns from recent labels predict better than the live one? Trained in seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.metrics import METRICS
from pipelines.metrics.labels import at_threshold
from pipelines.monitoring.cells import frame_of
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.performance.labels import joined, new_labels, truth
from pipelines.monitoring.performance.loss import SURE, accepted, resampled_scores
from pipelines.monitoring.spec import MonitorSpec
from pipelines.spec import UNSUPERVISED
from pipelines.storage import bring_logs

Array = npt.NDArray[np.float64]
ROWS = 20_000
"""Newest labelled rows that are looked at."""
SECONDS = 15.0
"""How long its trees grow at most."""
PARTS = 3
"""The last of so many equal parts, in the order of the rows, judges; the others are learned from."""
HELD = 5
"""One in so many of the rows that are learned from, the newest ones, ends the growth."""


@dataclass(frozen=True)
class Probed:
    """What a probe says.

    Parameters
    ----------
    outcome
        ``pays``: a retrained model is surely better; ``no gain``; ``unknown``: too little to tell.
    """

    outcome: str
    text: str


def probe(spec: MonitorSpec, live: LiveModel, now: datetime) -> Probed:
    """Train a small booster on the older of the recent labelled rows; compare it with the live version on the others.

    It sees the live version's features and predictions: it has to find what these do not say yet. The snapshot of the
    source is not asked: the night that read it has learned from it, and its verdict is known.
    """
    metric, task = live.champion.metric, live.opened.schema.task
    if metric is None or task in UNSUPERVISED:
        return Probed("unknown", "No probe: no label judges this model")
    if live.private:
        return Probed("unknown", "No probe: the log lacks the private columns")
    needed = PARTS * spec.min_labels
    oldest = now - timedelta(days=spec.lookback_days)
    logs = bring_logs(live.settings, live.name, oldest, now)
    labels = new_labels(logs, live.name, oldest, now)
    found = joined(logs, live.name, labels, oldest, now, sent=ROWS) if len(labels) >= needed else None
    y, readable = truth(found.rows["label"], live.labels) if found is not None else (np.empty(0), np.empty(0, bool))
    readable = readable & (y >= 0) if len(live.labels) else readable
    if found is None or readable.sum() < needed:
        count = len(labels) if found is None else int(readable.sum())
        text = f"No probe: {count} labelled rows of {spec.lookback_days} days, {needed} are needed; send labels to "
        return Probed("unknown", f"{text}/v1/feedback")
    sent = [tuple(map((row or {}).get, live.requested)) for row in found.sent]
    raw = frame_of(sent, live.requested, typed=False)[readable]
    return _compared(spec, live, metric, live.clean(raw)[0], y[readable])


def _compared(spec: MonitorSpec, live: LiveModel, metric: str, clean: Any, y: Array) -> Probed:
    version = live.opened.predictor
    X = version.plan.transform(clean)
    known = np.asarray(version.ensemble.predict(X), dtype=np.float64)
    judges = len(y) - len(y) // PARTS
    Z = np.column_stack([X, known])
    learned = _learned(live, metric, Z[:judges], y[:judges], Z[judges:])
    y_true, threshold = y[judges:], version.threshold
    if METRICS[metric].needs_labels:
        known = at_threshold(known, threshold)
    own = known[judges:]
    ones = np.ones(len(y_true))
    score, then = (METRICS[metric].score(y_true, used, ones) for used in (learned, own))
    gains = METRICS[metric].sign * (resampled_scores(metric, y_true, learned) - resampled_scores(metric, y_true, own))
    error = float(np.std(gains[np.isfinite(gains)])) if np.isfinite(gains).sum() > 1 else float("nan")
    gain = METRICS[metric].sign * (score - then)
    told = f"A probe trained on {judges} recent labelled rows scores {metric} {score:.4g} on the {len(y_true)} newest, "
    told += f"version {live.champion.version} {then:.4g} (± {2 * error:.2g})"
    if not np.isfinite([gain, error]).all():
        return Probed("unknown", f"{told}: too little to tell")
    if gain > accepted(metric, then, spec.max_loss) and gain > SURE * error:
        return Probed("pays", f"{told}: retraining pays")
    return Probed("no gain", f"{told}: retraining would gain nothing that is sure")


def _learned(live: LiveModel, metric: str, Z: Array, y: Array, judged: Array) -> Array:
    """Return the probe's predictions; ``Z``: features and the live version's predictions, of the rows ``y``."""
    from pipelines.algorithms.base import Dataset, FitContext, Limit, TaskInfo
    from pipelines.algorithms.families import family

    described = live.opened.plan.describe()
    further = Z.shape[1] - len(described)
    shape = TaskInfo(
        task=live.opened.schema.task,
        metric=metric,
        classes=len(live.labels),
        rows=len(y),
        kinds=(*(one["kind"] for one in described), *["number"] * further),
        cardinality=(*(one["cardinality"] for one in described), *[0] * further),
    )
    booster = family("lightgbm")
    grown = len(y) - len(y) // HELD
    ones = np.ones(len(y))
    train, valid = (Dataset(Z[part], y[part], ones[part]) for part in (slice(grown), slice(grown, None)))
    limit = Limit(soft=time.time() + SECONDS, hard=time.time() + 2 * SECONDS)
    context = FitContext(threads=live.settings.cores, limit=limit)
    return np.asarray(booster.fit(booster.default(shape), train, valid, shape, context).predict(judged))
