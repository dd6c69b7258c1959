"""Makes fitted members smaller while the out-of-fold score suffers no more than allowed; keeps the account."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pipelines.algorithms.base import Array
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.compression.member_compression import fewer_trees, has_trees, shorter_numbers
from pipelines.ensembling.cost import Cost, measure, total
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.ensemble.combine import combine_predictions
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.inference.members.registry import Member
from pipelines.metrics import METRICS

SHARES = (0.85, 0.7, 0.5, 0.3)
"""Shares of a member's trees that are tried, each smaller one only where the larger one did not cost too much."""
SEARCH_ROWS, PROOF_ROWS = 2_000, 10_000
"""Rows that steps are tried on, and rows that the certificate is made on."""
FLOOR = 1e-7

Change = Callable[[Member], Member | None]


class CompressionJudge:
    """Estimates what exchanged nodes do to the out-of-fold score.

    The members were fitted on all rows, so their own predictions cannot be scored on them. Scored are
    the honest out-of-fold predictions, moved by what the exchange changes in the members' predictions for the same
    rows. Trees left out are those that fitted these very rows last, so the estimate errs towards too large a loss.
    """

    def __init__(
        self, nodes: list[EnsembleNode], combine: dict[str, Any], columns: Columns, oof: Array, most: int
    ) -> None:
        self.metric, self.combine = columns.shape.metric, combine
        held = np.flatnonzero(columns.held_out)
        for step in (-(-len(held) // most), 1):
            rows, self.oof = held[::step], oof[::step]
            self.X, self.y, self.w = columns.X[rows], columns.y[rows], columns.w[rows]
            self.loss = METRICS[self.metric].loss(self.y, self.oof, self.w)
            if np.isfinite(self.loss):  # a class too rare to be among some of the rows is among all of them
                break
        self.predictions: list[Array] = []
        for node in nodes:
            self.predictions.append(node.predict(self.X, self.predictions))
        self.before = combine_predictions(combine, self.predictions)

    def after(self, nodes: list[EnsembleNode], changed: set[int]) -> tuple[float, list[Array]]:
        """Return the loss with these nodes, of which some are ``changed`` since ``predictions``, and theirs."""
        predictions: list[Array] = []
        dirty = set(changed)
        for index, node in enumerate(nodes):
            if dirty & {index, *node.inputs}:
                dirty.add(index)
            predictions.append(node.predict(self.X, predictions) if index in dirty else self.predictions[index])
        moved = self.oof + (combine_predictions(self.combine, predictions) - self.before)
        if moved.ndim > 1:
            moved = np.clip(moved, FLOOR, 1.0)
            moved = moved / moved.sum(axis=1, keepdims=True)
        return METRICS[self.metric].loss(self.y, moved, self.w), predictions


def compress(
    nodes: list[EnsembleNode],
    combine: dict[str, Any],
    columns: Columns,
    oof: Array,
    spec: EnsembleSpec,
    steps: list[dict[str, Any]],
    *,
    cost: Cost | None = None,
    until: float | None = None,
) -> tuple[list[EnsembleNode], dict[str, Any]]:
    """Try the steps of the spec on every node; return the nodes to keep and the certificate.

    Parameters
    ----------
    oof
        Honest out-of-fold predictions of held-out rows, (n,) or (n, classes).
    steps
        Account of what was done before, which counts against the bound.
    cost
        What the model cost before that; None: as now.
    until
        Moment of ``time.time`` from which nothing more is tried; None: all is tried, and nothing depends on the clock.

    Returns
    -------
    nodes, certificate
        The certificate holds no measured time: {"metric", "rows", "score", "score_compressed", "loss", "bound",
        "bytes", "bytes_before", "trees", "trees_before", "row_ms_estimate", "steps"}.
    """
    judge = CompressionJudge(nodes, combine, columns, oof, SEARCH_ROWS)
    turn = -METRICS[judge.metric].sign
    spent = spent_before(steps, judge.metric)
    allowed = max(0.0, spec.max_loss * abs(METRICS[judge.metric].error(judge.loss - spent)) - spent)
    smaller, costs, done = list(nodes), [measure(node) for node in nodes], list[dict[str, Any]]()
    before = total(costs)
    for name in spec.compress:
        if name == "trees":
            done += _fewer(smaller, costs, judge, judge.loss + allowed, until)
        elif name == "quantise":
            done += _shorter(smaller, costs, judge, judge.loss + allowed, columns.X, until)
    after, cost = total(costs), cost or before
    proof = CompressionJudge(nodes, combine, columns, oof, PROOF_ROWS)
    loss = proof.after(smaller, set(range(len(nodes))))[0]
    bound = spec.max_loss * abs(METRICS[proof.metric].error(proof.loss - spent))
    if not loss - proof.loss + spent <= bound:
        # More rows show what the first ones did not: the larger model stays.
        smaller, after, loss, done = list(nodes), before, proof.loss, []
    certificate = {
        "metric": proof.metric,
        "rows": len(proof.y),
        "score": turn * (proof.loss - spent),
        "score_compressed": turn * loss,
        "loss": loss - proof.loss + spent,
        "bound": bound,
        "bytes": after.bytes,
        "bytes_before": cost.bytes,
        "trees": after.trees,
        "trees_before": cost.trees,
        "row_ms_estimate": round(after.row_ms, 6),
        "steps": [*steps, *done],
    }
    return smaller, certificate


def spent_before(steps: list[dict[str, Any]], metric: str) -> float:
    """Return what steps that changed the out-of-fold predictions themselves cost, as a loss."""
    turn = -METRICS[metric].sign
    return float(sum(max(0.0, turn * (step["score_after"] - step["score_before"])) for step in steps))


def _late(until: float | None) -> bool:
    return until is not None and time.time() >= until


def _fewer(
    nodes: list[EnsembleNode], costs: list[Cost], judge: CompressionJudge, limit: float, until: float | None
) -> list[dict[str, Any]]:
    """Take trees from each node in turn, the one with most trees first; exchange nodes and costs in their lists."""
    done: list[dict[str, Any]] = []
    judge.predictions = judge.after(nodes, set(range(len(nodes))))[1] if nodes else []
    for index in sorted(range(len(nodes)), key=lambda index: (-costs[index].trees, index)):
        whole, step = nodes[index], list[dict[str, Any]]()
        for share in SHARES:
            changed = None if _late(until) else _changed(whole, partial(fewer_trees, share=share))
            if changed is None:
                break
            tried = [*nodes[:index], changed, *nodes[index + 1 :]]
            loss, predictions = judge.after(tried, {index})
            if loss > limit:
                break
            step = [{"step": "trees", "member": index, "share": share, "loss": loss - judge.loss}]
            nodes[index], judge.predictions = changed, predictions
        if step:
            costs[index] = measure(nodes[index])
            done += step
    return done


def _shorter(
    nodes: list[EnsembleNode], costs: list[Cost], judge: CompressionJudge, limit: float, X: Array, until: float | None
) -> list[dict[str, Any]]:
    """Shorten the numbers of each node where that does not cost too much; exchange nodes and costs in their lists."""
    done: list[dict[str, Any]] = []
    judge.predictions = judge.after(nodes, set(range(len(nodes))))[1] if nodes else []
    for index in range(len(nodes)):
        changed = None if _late(until) else _changed(nodes[index], lambda member: shorter_numbers(member, X))
        if changed is None or (cost := measure(changed)).bytes >= costs[index].bytes:
            continue
        tried = [*nodes[:index], changed, *nodes[index + 1 :]]
        loss, predictions = judge.after(tried, {index})
        if loss <= limit:
            done.append({"step": "quantise", "member": index, "loss": loss - judge.loss})
            nodes[index], costs[index], judge.predictions = changed, cost, predictions
    return done


def _changed(node: EnsembleNode, change: Change) -> EnsembleNode | None:
    """Return the node with every part changed; None where a part has nothing to change."""
    if not all(has_trees(part) for part in node.parts):
        return None
    parts = [change(part) for part in node.parts]
    return None if None in parts else replace(node, parts=tuple(part for part in parts if part is not None))
