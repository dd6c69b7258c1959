"""The front of score against cost: which combinations no other one beats in both, as numbers and as a picture."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.base import Array
from pipelines.ensembling.combination.selection import Point
from pipelines.metrics import METRICS

TAKEN, FRONT, OTHER, INK = "#e08a1e", "#1f5fa8", "#9aa3ad", "#1f2937"
SAME_SPOT = 6.0
"""Pixels; points nearer than this to each other are one spot to the eye, and have one label."""
WIDEST = 34
"""Letters in a line of a label."""
REACHES = ((9.0, 6.0), (14.0, 30.0), (40.0, 30.0), (14.0, 56.0), (60.0, 56.0))
"""Pixels from a point to its label, to either side and up or down; all but the first are joined to it by a line."""
NO_BREAK = "\N{NO-BREAK SPACE}"
RING = 9.0
"""Pixels from the point that is taken to its ring."""
LINE_DOTS = 60
"""How many dots stand for a piece of the line."""


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
    """Return the points for the report, the cheapest first; ``turn`` makes a loss the metric again."""
    return [
        {
            "method": point.method,
            "members": point.members,
            "score": turn * point.loss,
            "row_ms": round(point.cost.row_ms, 6),
            "bytes": point.cost.bytes,
            "estimated": point.cost.estimated,
            "front": front,
            "taken": point is taken,
        }
        for point, front in sorted(
            zip(points, on_front(points), strict=True), key=lambda pair: (pair[0].cost, pair[0].loss)
        )
    ]


def draw(path: Path, points: Sequence[Point], taken: Point | None, metric: str, title: str) -> None:
    """Draw score against estimated milliseconds per row, the front joined and named, the chosen point marked."""
    import matplotlib  # pictures are the last thing a stage makes

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    turn = -METRICS[metric].sign
    positions = np.array([(point.cost.row_ms, turn * point.loss) for point in points])
    ahead = np.array(on_front(points))
    front = positions[ahead][np.lexsort(positions[ahead].T[::-1])]
    figure = Figure(figsize=(7.2, 5.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.margins(0.08)
    far = ~ahead & far_worse(positions[:, 1] * turn)
    beaten = positions[~ahead & ~far]
    if len(beaten):
        axes.scatter(beaten[:, 0], beaten[:, 1], s=22, color=OTHER, label="beaten by one on the front")
    axes.plot(front[:, 0], front[:, 1], "o-", color=FRONT, ms=5, label="front")
    if taken is not None:
        axes.scatter(
            [taken.cost.row_ms],
            [turn * taken.loss],
            s=140,
            facecolors="none",
            edgecolors=TAKEN,
            lw=2.5,
            label=f"taken: {taken.method} of {taken.members}",
            zorder=3,
        )
    if far.any():
        low, high = axes.get_ylim()
        edge, marker = (low, "v") if turn < 0 else (high, "^")
        axes.scatter(
            positions[far, 0],
            np.full(far.sum(), edge),
            s=22,
            color=OTHER,
            marker=marker,
            clip_on=False,
            label="far worse",
        )
        axes.set_ylim(low, high)
    axes.set_xlabel("estimated milliseconds per row")
    axes.set_ylabel(f"{metric}, out of fold")
    axes.set_title(f"{title}: score against cost", loc="left", fontweight="bold")
    figure.legend(frameon=False, loc="outside lower center", ncols=4, fontsize=8)
    engine = figure.get_layout_engine()
    if engine is not None:  # labels are set once it is settled where the points lie
        engine.execute(figure)
        figure.set_layout_engine("none")
    pixels = axes.transData.transform(positions)
    labels = spots(pixels[ahead], [p for p, on in zip(points, ahead, strict=True) if on])
    if taken is not None:
        angles = np.linspace(0.0, 2.0 * np.pi, LINE_DOTS)
        ring = RING * np.column_stack([np.cos(angles), np.sin(angles)])
        pixels = np.concatenate([pixels, axes.transData.transform((taken.cost.row_ms, turn * taken.loss)) + ring])
    label_spots(axes, labels, pixels)
    figure.savefig(path)


def far_worse(losses: Array) -> NDArray[np.bool_]:
    """Whether a loss lies beyond Tukey's outer fence of all: three interquartile ranges above the third quartile."""
    first, third = np.quantile(losses, (0.25, 0.75))
    return np.asarray(losses > third + 3.0 * (third - first))


def spots(pixels: Array, points: Sequence[Point]) -> list[tuple[Array, str]]:
    """Return where to label what, from left to right: points that overlap have one label."""
    found: list[tuple[Array, dict[int, list[str]]]] = []
    for index in np.lexsort(pixels.T[::-1]):
        here = next((names for at, names in found if np.hypot(*(at - pixels[index])) < SAME_SPOT), None)
        if here is None:
            here = {}
            found.append((pixels[index], here))
        here.setdefault(points[index].members, []).append(points[index].method)
    named = [
        (at, ", ".join(f"{', '.join(some)}{NO_BREAK}({size})" for size, some in names.items())) for at, names in found
    ]
    return [(at, "\n".join(textwrap.wrap(name, WIDEST))) for at, name in named]


def label_spots(axes: Any, labels: Sequence[tuple[Array, str]], points: Array) -> list[Array]:
    """Write each label where it hides the least: of other labels, of points, of the line through what is labelled.

    Parameters
    ----------
    labels, points
        In pixels of the figure.

    Returns
    -------
    list of (2, 2) arrays
        The lower left and the upper right corner of each label.
    """
    ends = list(itertools.pairwise(labels))
    line = np.concatenate([points[:0], *(np.linspace(a, b, LINE_DOTS) for (a, _), (b, _) in ends)])
    boxes: list[Array] = []
    for at, text in labels:
        probe = axes.annotate(text, at, xycoords="figure pixels", fontsize=8)
        size = np.array(probe.get_window_extent().size)
        probe.remove()
        positions = [at + np.array(step) - size * (np.array(step) < 0) for reach in REACHES for step in _around(*reach)]
        corners = [np.array([corner, corner + size]) for corner in positions]
        costs = [_hidden(box, boxes, points, line, np.array(axes.bbox)) for box in corners]
        best = int(np.argmin(costs))
        far = {"arrowstyle": "-", "lw": 0.6, "color": OTHER, "shrinkB": 4.0} if best >= 4 else None
        axes.annotate(
            text,
            at,
            corners[best][0],
            "figure pixels",
            "figure pixels",
            arrowprops=far,
            fontsize=8,
            color=INK,
            annotation_clip=False,
        )
        boxes.append(corners[best])
    return boxes


def _around(x: float, y: float) -> list[tuple[float, float]]:
    return [(x, y), (x, -y), (-x, y), (-x, -y)]


def _hidden(box: Array, others: Sequence[Array], points: Array, line: Array, paper: Array) -> float:
    """Weigh what a label would hide, or how much of it would be off the paper."""

    def shared(other: Array) -> float:
        return float(np.prod(np.maximum(np.minimum(box[1], other[1]) - np.maximum(box[0], other[0]), 0.0)))

    def inside(dots: Array) -> float:
        return float(((dots > box[0]) & (dots < box[1])).all(axis=1).sum())

    off = float(np.prod(box[1] - box[0])) - shared(paper)
    return 100.0 * (off + sum(map(shared, others))) + 1_000.0 * inside(points) + inside(line)
