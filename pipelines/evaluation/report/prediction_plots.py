"""How predictions are spread, what each threshold gives, and how predictions change with a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipelines.evaluation.report.figure_style import BASELINE, CHAMPION, CURVES, INK, MODEL, panels, shortened

Array = NDArray[np.float64]
MOST_BINS = 40
TENTHS = 10
MOST_CLASSES = 30
LEAST_SHARE = 0.005
"""A smaller share is not written."""
MAX_POINTS = 2_000
GATHERED = 0.005, 0.995
"""Quantiles beyond which values are gathered at the ends."""


def probabilities(axes: Axes, truth: Array, y_pred: Array, classes: Sequence[str], threshold: float | None) -> None:
    """Draw how the predicted probability of the positive class is spread, by true class."""
    ends = _padded(y_pred[:, 1])
    for index, colour in enumerate((BASELINE, MODEL)):
        values = y_pred[truth == index, 1]
        label, share = f"{shortened(classes[index])}, {len(values):,} rows", np.full(len(values), 1.0 / len(values))
        axes.hist(values, bins=_bins(len(truth)), range=ends, weights=share, label=label, **_filled(colour))
    axes.set(xlabel=f"predicted probability of {shortened(classes[1])}", ylabel="share of the class's rows", xlim=ends)
    axes.set(title="Predicted probabilities by true class")
    _mark(axes, 0.5 if threshold is None else threshold, ends)
    axes.legend(loc="best")


def probabilities_by_class(axes: Axes, truth: Array, y_pred: Array, classes: Sequence[str]) -> None:
    """Draw how the predicted probability of the true class is spread, for each of the most frequent classes."""
    counts = np.bincount(truth[truth >= 0].astype(np.intp), minlength=len(classes))
    shown = sorted(index for index in np.argsort(-counts, kind="stable")[:MOST_CLASSES] if counts[index])
    spread = [np.histogram(y_pred[truth == index, index], bins=TENTHS, range=(0.0, 1.0))[0] for index in shown]
    share = np.array(spread) / counts[shown][:, None]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto", extent=(0, 1, len(shown) - 0.5, -0.5))
    axes.grid(visible=False)
    axes.set(title="Probability of the true class, share of its rows", xlabel="predicted probability of the true class")
    axes.set_yticks(range(len(shown)), [f"{shortened(classes[index])} ({counts[index]:,})" for index in shown])
    for row, column in np.argwhere(share >= LEAST_SHARE):
        colour = "white" if share[row, column] > 0.65 else INK
        text = f"{share[row, column]:.2f}"
        axes.text((column + 0.5) / TENTHS, row, text, ha="center", va="center", color=colour, fontsize=8)


def thresholds(axes: Axes, truth: Array, y_pred: Array, labelled: Array, threshold: float | None) -> None:
    """Draw precision, recall and F1 by the probability from which a label is predicted.

    Of several classes: those of the most probable class, where it is predicted from that probability on alone.
    """
    binary = y_pred.shape[1] == 2
    best = labelled.argmax(axis=1)
    score, hit = (y_pred[:, 1], truth == 1) if binary else (y_pred.max(axis=1), truth == y_pred.argmax(axis=1))
    wanted = int(hit.sum()) if binary else len(truth)
    levels, found = by_threshold(score, hit, wanted)
    step = -(-len(levels) // MAX_POINTS)
    for (name, values), colour in zip(found.items(), (MODEL, CHAMPION, INK), strict=True):
        axes.plot(levels[::step], values[::step], color=colour, linewidth=2.0, label=name)
    ends = _padded(score)
    axes.set(title="Precision, recall and F1 by threshold", ylabel="score", xlim=ends, ylim=(0, 1.02))
    if not binary:
        axes.set(title="Precision, recall and F1 by least probability", xlabel="probability of the predicted class")
        axes.legend(loc="lower left")
        return
    axes.set(xlabel="probability from which the positive class is predicted")
    taken = int((best == 1).sum())
    right = int(((best == 1) & hit).sum())
    at = {"precision": right / max(1, taken), "recall": right / wanted, "F1": 2.0 * right / (taken + wanted)}
    _mark(axes, 0.5 if threshold is None else threshold, ends, ", ".join(f"{k} {v:.3f}" for k, v in at.items()))
    axes.legend(loc="lower center", fontsize=9, frameon=True, framealpha=0.85, edgecolor="none")


def by_threshold(score: Array, hit: NDArray[np.bool_], wanted: int) -> tuple[Array, dict[str, Array]]:
    """Return each different score, falling, and precision, recall and F1 of the rows that reach it.

    Parameters
    ----------
    hit
        (n,) whether the row is right, if it is taken.
    wanted
        Rows that there are to find.
    """
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # rows of one score are taken together
    taken, right = last + 1, np.cumsum(hit[order])[last]
    found = {"precision": right / taken, "recall": right / max(1, wanted), "F1": 2.0 * right / (taken + wanted)}
    return score[order][last], found


def distribution(axes: Axes, truth: Array, y_pred: Array) -> None:
    """Draw how predictions are spread, beside what is true."""
    low, high = (float(end) for end in np.quantile(np.concatenate([truth, y_pred]), GATHERED))
    least = 1e-6 * max(1.0, abs(low), abs(high))
    ends = (low, high) if high - low > least else (low - least, high + least)
    for name, values, colour in (("actual", truth, BASELINE), ("predicted", y_pred, MODEL)):
        axes.hist(np.clip(values, *ends), bins=_bins(len(truth)), range=ends, label=name, **_filled(colour))
        axes.axvline(float(values.mean()), color=colour, linestyle=":", label=f"mean {values.mean():.4g}")
    axes.set(
        title="Distribution, outermost 1 % gathered at the ends",
        xlabel="predicted and actual value",
        ylabel="rows",
        xlim=ends,
    )
    axes.legend(loc="best")


def dependence(path: Path, title: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Draw what :func:`pipelines.evaluation.explanation.dependence.partial_dependence` returns."""
    labels = list(found[0]["means"])
    with panels(path, "Mean prediction if only this column changes", title, len(found)) as plots:
        for axes, one in zip(plots, found, strict=False):  # what is left stays empty
            _dependence(axes, one)
        several = len(labels) > 1
        name = "mean probability" if several else f"mean probability of {shortened(labels[0], 24)}"
        plots[0].set(ylabel="mean prediction" if labels == ["prediction"] else name)
        if several:
            lines, names = plots[0].get_legend_handles_labels()
            spare = len(plots) > len(found)
            plots[-1].legend(lines, names, loc="center left" if spare else "best", fontsize=10 if spare else 8)


def _dependence(axes: Axes, one: Mapping[str, Any]) -> None:
    values: Any = one["values"]
    line = "none" if one["kind"] == "category" else "-"
    if one["kind"] == "category":
        values = range(len(values))
        axes.set_xticks(values, [shortened(text, 13) for text in one["values"]], rotation=60, ha="right", fontsize=8)
        axes.set_xlim(-0.5, len(values) - 0.5)
    elif one["kind"] == "date":
        values = np.array(values, dtype="datetime64[D]")
        locator = AutoDateLocator(maxticks=5)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    for number, (label, means) in enumerate(one["means"].items()):
        axes.plot(
            values,
            means,
            color=CURVES[number],
            linestyle=line,
            linewidth=2.0,
            marker="o",
            markersize=4,
            label=shortened(label),
        )
    if one["kind"] == "number":
        whole = all(float(value).is_integer() for value in values)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole))
    axes.set_title(shortened(str(one["column"]), 30), fontsize=10)


def _filled(colour: str) -> dict[str, Any]:
    return {"histtype": "stepfilled", "facecolor": (colour, 0.45), "edgecolor": colour, "linewidth": 1.7}


def _bins(rows: int) -> int:
    """Return as many bins as so many rows fill."""
    return int(np.clip(np.sqrt(rows), 10, MOST_BINS))


def _padded(values: Array) -> tuple[float, float]:
    """Return the ends of an axis of probabilities: where there are any, and a little beyond."""
    low, high = float(values.min()), float(values.max())
    room = max(0.02 * (high - low), 1e-6)
    return max(0.0, low - room), min(1.0, high + room)


def _mark(axes: Axes, threshold: float, ends: tuple[float, float], note: str = "") -> None:
    """Mark the decision threshold; one that no row reaches is named alone."""
    label = f"decision threshold {threshold:.3g}" + (f":\n{note}" if note else "")
    if ends[0] <= threshold <= ends[1]:
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2, label=label)
    else:
        axes.plot([], [], color=INK, linestyle="--", linewidth=1.2, label=f"{label} (outside)")
