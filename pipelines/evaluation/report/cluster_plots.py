"""The pictures of a model without target, as PNG files: rows in two dimensions, and how good what was found is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipelines.evaluation.report.figure_style import BASELINE, CHAMPION, CURVES, MODEL, canvas
from pipelines.inference.members.unsupervised import cluster_names
from pipelines.metrics.unsupervised import MemberOutput, silhouettes

Array = NDArray[np.float64]
MAX_POINTS = 4_000
MOST_BARS = 40
PALE = "#d3d8de"


def draw(folder: Path, output: MemberOutput, title: str) -> list[str]:
    """Draw what is defined on these rows; return the file names."""
    folder.mkdir()
    plots: dict[str, Callable[[Axes], None]]
    if output.restored is None:
        plots = {"map": lambda axes: _clusters(axes, output), "silhouettes": lambda axes: _silhouettes(axes, output)}
    else:
        plots = {"map": lambda axes: _coordinates(axes, output), "variance": lambda axes: _variance(axes, output)}
    for name, plot in plots.items():
        with canvas(folder / f"{name}.png", title) as axes:
            plot(axes)
    return [f"{name}.png" for name in plots]


def flattened(points: Array) -> tuple[Array, Array]:
    """Return points (n, d) along their two directions of most variance (n, 2), and the shares of variance (2,)."""
    centered = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(centered.T @ centered)
    two = vectors[:, ::-1][:, :2]
    flat = np.zeros((len(points), 2))
    flat[:, : two.shape[1]] = centered @ two
    shares = np.zeros(2)
    shares[: two.shape[1]] = np.maximum(values[::-1][:2], 0.0) / max(float(values.sum()), 1e-300)
    return flat, shares


def _coloured(labels: Array) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Return name, colour and rows of each cluster, the largest first; then, grey, the others, and noise."""
    numbers, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    named = [int(index) for index in order if numbers[index] >= 0][: len(CURVES)]
    names = cluster_names(numbers)
    found = [(names[index], CURVES[rank], labels == numbers[index]) for rank, index in enumerate(named)]
    rest = ~np.isin(labels, numbers[named])
    grey = [("others", PALE, rest & (labels >= 0)), ("noise", BASELINE, rest & (labels < 0))]
    return [*found, *(one for one in grey if one[2].any())]


def _clusters(axes: Axes, output: MemberOutput) -> None:
    some = slice(None, None, max(1, -(-len(output.points) // MAX_POINTS)))
    flat, shares = flattened(output.points)
    for name, colour, rows in _coloured(output.predicted):
        share = float(rows.mean())
        across, up = flat[some][rows[some]].T
        axes.scatter(across, up, s=9, alpha=0.5, color=colour, linewidths=0, label=f"{name}, {share:.1%}")
    axes.set(title="Clusters in the two directions of largest variance")
    axes.set(
        xlabel=f"first direction, {shares[0]:.0%} of the variance",
        ylabel=f"second direction, {shares[1]:.0%} of the variance",
    )
    axes.legend(loc="best", markerscale=2, fontsize=8)


def _silhouettes(axes: Axes, output: MemberOutput) -> None:
    values, chosen = silhouettes(output.points, output.predicted)
    start = 0
    ticks: list[tuple[float, str]] = []
    for name, colour, rows in _coloured(output.predicted):  # the same colours as on the map
        own = np.sort(values[rows[chosen]])
        axes.fill_betweenx(np.arange(start, start + len(own)), 0.0, own, color=colour, linewidth=0)
        ticks.append((start + len(own) / 2, name))
        start += len(own) + max(1, len(values) // 100)
    axes.axvline(float(values.mean()), color=CHAMPION, linestyle="--", label=f"mean {values.mean():.3f}")
    axes.set_yticks([index for index, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set(title="Silhouettes of the rows, by cluster", ylabel="cluster")
    axes.set(xlabel="below 0: nearer to another cluster than to its own", xlim=(min(-0.2, float(values.min())), 1))
    axes.legend(loc="lower right")


def _coordinates(axes: Axes, output: MemberOutput) -> None:
    some = slice(None, None, max(1, -(-len(output.predicted) // MAX_POINTS)))
    across = output.predicted[some, 0]
    if output.predicted.shape[1] == 1:
        axes.hist(across, bins=60, color=MODEL, alpha=0.85)
        axes.set(title="Rows along the only component", xlabel="component 1", ylabel="rows")
        return
    axes.scatter(across, output.predicted[some, 1], s=9, alpha=0.35, color=MODEL, linewidths=0)
    axes.set(title="Rows along the first two components", xlabel="component 1", ylabel="component 2")


def _variance(axes: Axes, output: MemberOutput) -> None:
    total = max(float(output.points.var(axis=0).sum()), 1e-300)
    share = output.predicted.var(axis=0)[:MOST_BARS] / total
    number = np.arange(1, len(share) + 1)
    axes.bar(number, share, color=MODEL, width=0.7, label="each component")
    axes.plot(number, np.cumsum(share), color=CHAMPION, marker="o", markersize=4, label="all up to it")
    axes.set(title="Variance that the components hold", xlabel="component", ylabel="share of the variance")
    axes.set(ylim=(0, 1.02), xlim=(0.4, len(share) + 0.6))
    axes.set_xticks(number if len(number) <= 12 else number[:: -(-len(number) // 12)])
    axes.legend(loc="center right")
