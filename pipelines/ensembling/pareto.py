"""The front of score against cost: which combinations no other one beats in both, as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.algorithms import metrics
from pipelines.ensembling.choose import Point

TAKEN, FRONT, OTHER = "#e08a1e", "#1f5fa8", "#9aa3ad"


def on_front(points: Sequence[Point]) -> list[bool]:
    """Whether no other point is at least as good and as cheap, and better in one of both."""
    return [
        not any(
            other.loss <= point.loss
            and other.cost.row_ms <= point.cost.row_ms
            and (other.loss < point.loss or other.cost.row_ms < point.cost.row_ms)
            for other in points
        )
        for point in points
    ]


def described(points: Sequence[Point], taken: Point | None, turn: float) -> list[dict[str, Any]]:
    """Give the points for the report, the cheapest first; ``turn`` makes a loss the metric again."""
    return [
        {
            "method": point.method, "members": point.members, "score": turn * point.loss,
            "row_ms": round(point.cost.row_ms, 6), "bytes": point.cost.bytes, "estimated": point.cost.estimated,
            "front": front, "taken": point is taken,
        }
        for point, front in sorted(
            zip(points, on_front(points), strict=True), key=lambda pair: (pair[0].cost, pair[0].loss)
        )
    ]  # fmt: skip


def draw(path: Path, points: Sequence[Point], taken: Point | None, metric: str, title: str) -> None:
    """Draw score against estimated milliseconds per row, the front joined, the chosen point marked."""
    import matplotlib  # pictures are the last thing a stage makes

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    turn = -metrics.sign(metric)
    front = sorted(
        (point for point, on in zip(points, on_front(points), strict=True) if on), key=lambda point: point.cost.row_ms
    )
    figure = Figure(figsize=(7.2, 4.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.scatter([p.cost.row_ms for p in points], [turn * p.loss for p in points], s=22, color=OTHER)
    axes.plot([p.cost.row_ms for p in front], [turn * p.loss for p in front], "o-", color=FRONT, ms=5, label="front")
    if taken is not None:
        axes.scatter([taken.cost.row_ms], [turn * taken.loss], s=140, facecolors="none", edgecolors=TAKEN, lw=2.5,
                     label=f"taken: {taken.method} of {taken.members}", zorder=3)  # fmt: skip
    for place, point in enumerate(front):
        axes.annotate(f"{point.method} ({point.members})", (point.cost.row_ms, turn * point.loss), fontsize=8,
                      xytext=(6, -10 if place % 2 else 6), textcoords="offset points", color="#1f2937")  # fmt: skip
    axes.set_xlabel("estimated milliseconds per row")
    axes.set_ylabel(f"{metric}, out of fold")
    axes.set_title(f"{title}: score against cost", loc="left", fontweight="bold")
    axes.legend(frameon=False)
    figure.savefig(path)
