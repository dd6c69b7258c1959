"""The curves of one version, as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipelines.evaluation.report.figure_style import (
    BASELINE,
    CHAMPION,
    CURVES,
    INK,
    MODEL,
    WORSE,
    canvas,
    named,
    shortened,
)
from pipelines.evaluation.report.prediction_plots import (
    dependence,
    distribution,
    probabilities,
    probabilities_by_class,
    thresholds,
)
from pipelines.metrics.labels import confusion
from pipelines.metrics.ranks import PR_AUC, ROC_AUC, by_score

Array = NDArray[np.float64]
MAX_POINTS = 4_000
MAX_LABELS = 30
MOST_BARS = 20
MOST_CURVES = len(CURVES)


def draw(
    folder: Path,
    task: str,
    truth: Array,
    predictions: Mapping[str, Array],
    classes: list[str],
    title: str,
    labelled: Array,
    details: Mapping[str, Any],
) -> list[str]:
    """Draw all plots of a task that are defined on these rows; return the file names.

    Parameters
    ----------
    predictions
        "model" and, when there is one, "champion": (n,) or (n, classes).
    labelled
        The model's predictions, rescaled so that the most probable class is the predicted one.
    details
        ``importance``, ``learning_curve``, ``metric``, ``partial_dependence``: what is also drawn where it is
        not empty; ``threshold``: the declared one (binary).
    """
    folder.mkdir()
    weight, threshold = np.ones(len(truth)), details.get("threshold")
    plots: dict[str, Callable[[Axes], None]]
    if task == "binary":
        plots = {
            "roc": lambda axes: _roc(axes, truth, predictions, weight),
            "precision_recall": lambda axes: _precision_recall(axes, truth, predictions, weight),
            "lift": lambda axes: _lift(axes, truth, predictions),
            "calibration": lambda axes: _calibration(axes, _sides(truth, predictions)),
            "confusion": lambda axes: _confusion(axes, truth, labelled, classes),
            "probabilities": lambda axes: probabilities(axes, truth, predictions["model"], classes, threshold),
            "thresholds": lambda axes: thresholds(axes, truth, predictions["model"], labelled, threshold),
        }
        if len(np.unique(truth)) < 2:
            for name in ("roc", "precision_recall", "lift", "probabilities", "thresholds"):
                plots.pop(name)
    elif task == "multiclass":
        plots = {
            "roc": lambda axes: _roc_by_class(axes, truth, predictions["model"], classes),
            "precision_recall": lambda axes: _precision_recall_by_class(axes, truth, predictions["model"], classes),
            "calibration": lambda axes: _calibration(axes, _sides(truth, predictions)),
            "confusion": lambda axes: _confusion(axes, truth, labelled, classes),
            "probabilities": lambda axes: probabilities_by_class(axes, truth, predictions["model"], classes),
            "thresholds": lambda axes: thresholds(axes, truth, predictions["model"], labelled, None),
        }
    else:
        plots = {
            "predicted_actual": lambda axes: _predicted_actual(axes, truth, predictions["model"]),
            "distribution": lambda axes: distribution(axes, truth, predictions["model"]),
            "residuals": lambda axes: _residuals(axes, truth, predictions["model"]),
            "residuals_predicted": lambda axes: _residuals_predicted(axes, truth, predictions["model"]),
        }
    if details.get("learning_curve"):
        plots["learning_curve"] = lambda axes: _learning_curve(axes, details["learning_curve"], details["metric"])
    if details.get("importance"):
        plots["importance"] = lambda axes: _importance(axes, details["importance"], details["metric"])
    for name, plot in plots.items():
        wide = name in ("confusion", "probabilities") and len(classes) > 10
        with canvas(folder / f"{name}.png", title, size=8.0 if wide else 5.6) as axes:
            plot(axes)
    names = list(plots)
    if details.get("partial_dependence"):
        names.append("partial_dependence")
        dependence(folder / "partial_dependence.png", title, details["partial_dependence"])
    return [f"{name}.png" for name in names]


def _roc(axes: Axes, truth: Array, predictions: Mapping[str, Array], weight: Array) -> None:
    for name, y_pred, style in named(predictions):
        axes.plot(
            *_rates(truth, y_pred, weight), label=f"{name}, area {ROC_AUC.score(truth, y_pred, weight):.4f}", **style
        )
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", label="chance")
    axes.set(title="ROC curve", xlabel="false positive rate", ylabel="true positive rate")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, truth: Array, predictions: Mapping[str, Array], weight: Array) -> None:
    for name, y_pred, style in named(predictions):
        area = PR_AUC.score(truth, y_pred, weight)
        axes.plot(*_found(truth, y_pred, weight), label=f"{name}, area {area:.4f}", **style)
    share = float((truth == 1).mean())
    axes.axhline(share, color=BASELINE, linestyle="--", label=f"chance, {share:.3f}")
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left")


def _rates(truth: Array, y_pred: Array, weight: Array) -> tuple[Array, Array]:
    """Return the false and the true positive rates of class 1, from every threshold, falling."""
    ups, downs = (np.cumsum(np.r_[0.0, side[::-1]]) for side in by_score(truth, y_pred[:, 1], weight))
    return downs / downs[-1], ups / ups[-1]


def _found(truth: Array, y_pred: Array, weight: Array) -> tuple[Array, Array]:
    """Return recall and precision of class 1, from every threshold, falling; at recall 0 the first precision."""
    ups, downs = (np.cumsum(side[::-1]) for side in by_score(truth, y_pred[:, 1], weight))
    precision = ups / (ups + downs)
    return np.r_[0.0, ups / ups[-1]], np.r_[precision[0], precision]


def _by_class(
    truth: Array, y_pred: Array, classes: Sequence[str]
) -> Iterator[tuple[str, Array, Array, Array, dict[str, Any]]]:
    """Yield name, truth, prediction, weight and line style of each of the most frequent classes against the rest."""
    counts = np.bincount(truth[truth >= 0].astype(np.intp), minlength=len(classes))
    shown = [int(index) for index in np.argsort(-counts, kind="stable")[:MOST_CURVES] if 0 < counts[index] < len(truth)]
    for number, index in enumerate(sorted(shown)):
        own = y_pred[:, index]
        two = np.column_stack([1.0 - own, own])
        style = {"color": CURVES[number], "linewidth": 1.7}
        yield shortened(classes[index]), (truth == index).astype(np.float64), two, np.ones(len(truth)), style


def _roc_by_class(axes: Axes, truth: Array, y_pred: Array, classes: Sequence[str]) -> None:
    for name, own, two, weight, style in _by_class(truth, y_pred, classes):
        axes.plot(*_rates(own, two, weight), label=f"{name}, area {ROC_AUC.score(own, two, weight):.4f}", **style)
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", label="chance")
    axes.set(title="ROC curve, each class against the rest", xlabel="false positive rate", ylabel="true positive rate")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.legend(loc="lower right", fontsize=8)


def _precision_recall_by_class(axes: Axes, truth: Array, y_pred: Array, classes: Sequence[str]) -> None:
    for name, own, two, weight, style in _by_class(truth, y_pred, classes):
        axes.plot(*_found(own, two, weight), label=f"{name}, area {PR_AUC.score(own, two, weight):.4f}", **style)
    axes.set(title="Precision and recall, each class against the rest", xlabel="recall", ylabel="precision")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left", fontsize=8)


def _sides(truth: Array, predictions: Mapping[str, Array]) -> list[tuple[str, Array, Array, dict[str, Any]]]:
    """Return, per model, probability that is judged and whether it came true: of class 1, or the predicted class."""
    found = []
    for name, y_pred, style in named(predictions):
        best = np.ones(len(truth)) if y_pred.shape[1] == 2 else y_pred.argmax(axis=1).astype(np.float64)
        probability = y_pred[np.arange(len(truth)), best.astype(np.intp)]
        found.append((name, probability, (truth == best).astype(np.float64), style))
    return found


def _calibration(axes: Axes, sides: Sequence[tuple[str, Array, Array, dict[str, Any]]]) -> None:
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", label="perfect")
    for name, probability, hit, style in sides:
        order = np.argsort(probability, kind="stable")
        groups = [group for group in np.array_split(order, 10) if len(group)]
        predicted = [float(probability[group].mean()) for group in groups]
        actual = [float(hit[group].mean()) for group in groups]
        axes.plot(predicted, actual, marker="o", markersize=5, label=f"{name}, ten equal groups", **style)
    axes.set(title="Calibration", xlabel="predicted probability", ylabel="share that came true", xlim=(0, 1))
    axes.set(ylim=(0, 1))
    axes.legend(loc="upper left")


def _lift(axes: Axes, truth: Array, predictions: Mapping[str, Array]) -> None:
    share = float((truth == 1).mean())
    asked = np.arange(1, len(truth) + 1) / len(truth)
    some = slice(max(1, len(truth) // 100) - 1, None, -(-len(truth) // MAX_POINTS))
    for name, y_pred, style in named(predictions):
        hits = np.cumsum(truth[np.argsort(-y_pred[:, 1], kind="stable")] == 1) / np.arange(1, len(truth) + 1)
        axes.plot(asked[some], hits[some] / share, label=name, **style)
    axes.axhline(1.0, color=BASELINE, linestyle="--", label="chance")
    axes.set(
        title="Lift", xlabel="share of rows, the most probable first", ylabel="positives against chance", xlim=(0, 1)
    )
    axes.set(ylim=(0, None))
    axes.legend(loc="upper right")


def _confusion(axes: Axes, truth: Array, y_pred: Array, classes: list[str]) -> None:
    count = confusion(truth, y_pred, np.ones(len(truth)))[:-1, :-1]
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1.0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(title="Confusion, share of each true class", xlabel="predicted", ylabel="true")
    if len(classes) > MAX_LABELS:
        return
    short = [shortened(label) for label in classes]
    if sum(map(len, short)) > 30:
        axes.set_xticks(range(len(classes)), short, rotation=45, ha="right")
    else:
        axes.set_xticks(range(len(classes)), short)
    axes.set_yticks(range(len(classes)), short)
    for row, column in np.argwhere(count > 0):
        colour = "white" if share[row, column] > 0.65 else INK
        text = f"{share[row, column]:.2f}" if len(classes) <= 12 else f"{share[row, column] * 100:.0f}"
        if len(classes) <= 5:
            text = f"{text}\n{count[row, column]:,.0f} rows"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9 if len(classes) <= 12 else 7)


def _predicted_actual(axes: Axes, truth: Array, y_pred: Array) -> None:
    some = slice(None, None, -(-len(truth) // MAX_POINTS))
    axes.scatter(y_pred[some], truth[some], s=9, alpha=0.35, color=MODEL, linewidths=0)
    ends = [float(min(truth.min(), y_pred.min())), float(max(truth.max(), y_pred.max()))]
    axes.plot(ends, ends, color=CHAMPION, linestyle="--", label="perfect")
    axes.set(title="Predicted and actual", xlabel="predicted", ylabel="actual")
    axes.legend(loc="upper left")


def _residuals(axes: Axes, truth: Array, y_pred: Array) -> None:
    error = truth - y_pred
    low, high = (float(end) for end in np.quantile(error, [0.005, 0.995]))
    least = 1e-6 * max(1.0, abs(low), abs(high))
    ends = (low, high) if high - low > least else (low - least, high + least)
    axes.hist(np.clip(error, *ends), bins=60, range=ends, color=MODEL, alpha=0.85)
    axes.axvline(0.0, color=CHAMPION, linestyle="--", label="no error")
    axes.axvline(float(error.mean()), color=INK, linestyle=":", label=f"mean {error.mean():.4g}")
    axes.set(title="Residuals, outermost 1 % gathered at the ends", xlabel="actual − predicted", ylabel="rows")
    axes.legend(loc="upper right")


def _residuals_predicted(axes: Axes, truth: Array, y_pred: Array) -> None:
    some = slice(None, None, -(-len(truth) // MAX_POINTS))
    axes.scatter(y_pred[some], (truth - y_pred)[some], s=9, alpha=0.35, color=MODEL, linewidths=0)
    axes.axhline(0.0, color=CHAMPION, linestyle="--")
    axes.set(title="Residuals by prediction", xlabel="predicted", ylabel="actual − predicted")


def _learning_curve(axes: Axes, curve: Sequence[Mapping[str, Any]], metric: str) -> None:
    axes.plot([one["rows"] for one in curve], [one["score"] for one in curve], marker="o", color=MODEL, linewidth=2.2)
    axes.set_xscale("log")
    axes.set_xticks([one["rows"] for one in curve], [f"{one['rows']:,}" for one in curve])
    axes.minorticks_off()
    axes.set(title="Learning curve of one small booster", xlabel="training rows", ylabel=f"{metric}, sealed rows")


def _importance(axes: Axes, importance: Sequence[Mapping[str, Any]], metric: str) -> None:
    shown = list(importance[:MOST_BARS])[::-1]
    loss, error = [one["loss"] for one in shown], [one["error"] for one in shown]
    colours = [MODEL if value >= 0 else WORSE for value in loss]
    axes.barh(range(len(shown)), loss, xerr=error, color=colours, ecolor="#6b7280", height=0.7)
    axes.set_yticks(range(len(shown)), [shortened(one["column"], 24) for one in shown])
    axes.set(title="Permutation importance", xlabel=f"loss of {metric} when the column is shuffled")
