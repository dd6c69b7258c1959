"""What members cost to keep and to ask, without a clock: bytes, trees, and an estimate in milliseconds per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.members.combination_nodes import EnsembleNode

CALL_MS = 0.02
"""Asking one member for one row."""
CALLS_MS = {"catboost": 0.18}
"""The same where a library's own call takes longer."""
TREE_MS = 1.5e-4
"""Walking one tree of any library for one row, some ten comparisons."""
WIDE_MS_PER_MB = 0.5
"""Reading one megabyte of numbers that every row is compared or multiplied with."""
TREE_BYTES_PER_LEAF = 90
"""A leaf with its split, in a text or binary format."""
TYPICAL_BYTES, TYPICAL_TREES = 1_000_000, 100
"""Assumed size of a trial until it has been fitted, when its settings do not say."""


@dataclass(frozen=True, order=True)
class Cost:
    """Milliseconds for one row, bytes of files and number of trees; ``estimated`` until the member was written once."""

    row_ms: float
    bytes: int
    trees: int = 0
    estimated: bool = False

    def within(self, row_ms: float | None, most_bytes: int | None) -> bool:
        """Whether neither limit is passed."""
        return (row_ms is None or self.row_ms <= row_ms) and (most_bytes is None or self.bytes <= most_bytes)


def total(costs: Iterable[Cost]) -> Cost:
    """Return the cost of several members."""
    costs = list(costs)
    return Cost(
        sum(cost.row_ms for cost in costs),
        sum(cost.bytes for cost in costs),
        sum(cost.trees for cost in costs),
        any(cost.estimated for cost in costs),
    )


def guess(candidate: Candidate, outputs: int, folds: int, spec: EnsembleSpec) -> Cost:
    """Estimate a candidate's cost from its settled settings, before it was fitted on all rows."""
    params, made, call = candidate.params, candidate.made, CALLS_MS.get(candidate.family, CALL_MS)
    times = folds if made is None and spec.refit == "folds" else 1
    if made is not None:
        times = made.bags if made.kind != "boosted" else outputs if outputs > 2 else 1
        outputs = 1 if made.kind == "boosted" else outputs
    trees, leaves = params.get("iterations"), params.get("num_leaves")
    if trees is None:
        return _times(Cost(call + TREE_MS * TYPICAL_TREES, TYPICAL_BYTES, TYPICAL_TREES, estimated=True), times)
    if leaves is None:
        leaves = 2 ** min(10, int(params.get("max_depth") or params.get("depth") or 6))
    count = int(trees) * (outputs if outputs > 2 else 1)
    size = int(count * int(leaves) * TREE_BYTES_PER_LEAF)
    return _times(Cost(call + TREE_MS * count, size, count, estimated=True), times)


def _times(cost: Cost, times: int) -> Cost:
    return total([cost] * times)


def measure(node: EnsembleNode) -> Cost:
    """Write a fitted node to a scratch folder and return its cost; the same node costs the same everywhere."""
    with TemporaryDirectory() as folder:
        entry = node.save(Path(folder), "0")
        return of_entries([entry], Path(folder))


def of_entries(entries: Sequence[Mapping[str, Any]], folder: Path) -> Cost:
    """Return the cost of members whose entries of ``model.json`` and files are given."""
    row_ms, size, trees = 0.0, 0, 0
    for entry in entries:
        for part in entry.get("parts", (entry,)):
            part_bytes = (folder / part["file"]).stat().st_size
            count = int(part.get("trees", 0))
            row_ms += CALLS_MS.get(part["family"], CALL_MS) + (
                TREE_MS * count if count else WIDE_MS_PER_MB * part_bytes / 1e6
            )
            size, trees = size + part_bytes, trees + count
    return Cost(row_ms, size, trees)
