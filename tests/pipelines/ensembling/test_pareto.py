from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.ensembling.choose import Point
from pipelines.ensembling.cost import Cost
from pipelines.ensembling.pareto import described, draw, on_front


def point(method: str, loss: float, row_ms: float) -> Point:
    losses = np.array([loss, loss])
    return Point(method, {"kind": method, "weights": [1.0]}, losses, loss, losses, Cost(row_ms, 1_000))


POINTS = [point("single", -0.90, 0.1), point("stacking", -0.93, 0.9), point("average", -0.91, 1.5)]


def test_what_another_point_beats_in_both_is_not_on_the_front() -> None:
    assert on_front(POINTS) == [True, True, False]
    assert on_front([POINTS[0], POINTS[0]]) == [True, True]


def test_the_front_is_described_and_drawn(tmp_path: Path) -> None:
    facts = described(POINTS, POINTS[1], -1.0)
    assert [(fact["method"], fact["score"], fact["taken"]) for fact in facts] == [
        ("single", 0.90, False), ("stacking", 0.93, True), ("average", 0.91, False),
    ]  # fmt: skip
    draw(tmp_path / "pareto.png", POINTS, POINTS[1], "roc_auc", "demo")
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
