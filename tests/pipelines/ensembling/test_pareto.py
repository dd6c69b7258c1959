from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib.figure
import numpy as np

from pipelines.ensembling.combination.selection import Point
from pipelines.ensembling.cost import Cost
from pipelines.ensembling.pareto import described, draw, far_worse, label_spots, on_front, spots


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
        ("single", 0.90, False),
        ("stacking", 0.93, True),
        ("average", 0.91, False),
    ]
    same = [point("weighted_average", -0.90, 0.1), point("blending", -0.90, 0.1)]
    crowd = [point("blending", -0.90 - 0.001 * index, 0.1 + 0.01 * index) for index in range(8)]
    far = [*crowd, point("hard_vote", -0.5, 0.2)]
    assert far_worse(np.array([each.loss for each in far])).tolist() == [False] * 8 + [True]
    for number, points in enumerate((POINTS, [*POINTS, *same], POINTS[:1], far)):
        path = tmp_path / f"{number}.png"
        draw(path, points, points[0], "roc_auc", "demo")
        assert path.read_bytes().startswith(b"\x89PNG")


def test_what_lies_on_one_spot_has_one_label_and_no_label_hides_another() -> None:
    combined = point("average", -0.9, 0.1)
    combined.combine["weights"] = [0.5, 0.5]
    pixels = np.array([[300.0, 200.0], [301.0, 200.0], [100.0, 200.0], [300.0, 200.5]])
    points = [point("single", -0.9, 0.1), point("blending", -0.9, 0.1), point("cascade", -0.8, 0.0), combined]
    labels = spots(pixels, points)
    assert [text for _, text in labels] == [
        "cascade\N{NO-BREAK SPACE}(1)",
        "single, blending\N{NO-BREAK SPACE}(1), average\N{NO-BREAK SPACE}(2)",
    ]
    axes = matplotlib.figure.Figure(figsize=(7.2, 5.0), dpi=110).add_subplot()
    crowd = [
        (np.array([x, 300.0 + 3.0 * y]), f"weighted_average,\nblending ({x})")
        for x, y in zip(range(250, 400, 30), range(5), strict=True)
    ]
    boxes = label_spots(axes, crowd, np.array([at for at, _ in crowd]))
    for box in boxes:
        assert (box[0] >= axes.bbox.p0).all()
        assert (box[1] <= axes.bbox.p1).all()
    for one, other in itertools.combinations(boxes, 2):
        assert (np.minimum(one[1], other[1]) <= np.maximum(one[0], other[0])).any()
