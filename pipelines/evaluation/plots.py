"""The curves of one version, as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from pipelines.algorithms import metrics

Array = NDArray[np.float64]
MODEL, CHAMPION, BASELINE = "#1f5fa8", "#e08a1e", "#9aa3ad"
STYLE = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#6b7280", "axes.grid": True,
    "grid.color": "#e5e7eb", "grid.linewidth": 0.8, "axes.axisbelow": True, "font.size": 10,
    "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False,
    "text.color": "#1f2937", "axes.labelcolor": "#1f2937", "xtick.color": "#4b5563", "ytick.color": "#4b5563",
}  # fmt: skip
MAX_POINTS = 4_000
MAX_LABELS = 30


def draw(folder: Path, task: str, truth: Array, answers: dict[str, Array], classes: list[str], title: str) -> list[str]:
    """Draw all plots of a task; give the file names.

    Parameters
    ----------
    answers
        "model" and, when there is one, "champion": (n,) or (n, classes).
    """
    folder.mkdir()
    made: list[str] = []
    weight = np.ones(len(truth))
    if task == "binary":
        plots: dict[str, Callable[[Axes], None]] = {
            "roc": lambda axes: _roc(axes, truth, answers, weight),
            "precision_recall": lambda axes: _precision_recall(axes, truth, answers),
            "calibration": lambda axes: _calibration(axes, truth, answers),
        }
        if len(np.unique(truth)) < 2:
            plots.pop("roc")
            plots.pop("precision_recall")
    elif task == "multiclass":
        plots = {"confusion": lambda axes: _confusion(axes, truth, answers["model"], classes)}
    else:
        plots = {
            "predicted_actual": lambda axes: _predicted_actual(axes, truth, answers["model"]),
            "residuals": lambda axes: _residuals(axes, truth, answers["model"]),
        }
    for name, plot in plots.items():
        with _axes(folder / f"{name}.png", size=8.0 if name == "confusion" and len(classes) > 10 else 5.6) as axes:
            plot(axes)
            axes.set_title(f"{axes.get_title(loc='left')}\n", loc="left")
            axes.text(0, 1.02, title, transform=axes.transAxes, fontsize=9, color="#6b7280")
        made.append(f"{name}.png")
    return made


@contextmanager
def _axes(path: Path, size: float) -> Iterator[Axes]:
    # A Figure of its own needs no display and no global state; the file carries no date.
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(size * 1.12, size), dpi=110, layout="constrained")
        yield figure.subplots()
        figure.savefig(path, metadata={"Software": None})


def _named(answers: dict[str, Array]) -> Iterator[tuple[str, Array, dict[str, Any]]]:
    looks = {
        "model": {"color": MODEL, "linewidth": 2.2, "zorder": 3},
        "champion": {"color": CHAMPION, "linewidth": 1.5},
    }
    for name, answer in answers.items():
        yield name, answer, looks[name]


def _roc(axes: Axes, truth: Array, answers: dict[str, Array], weight: Array) -> None:
    for name, answer, look in _named(answers):
        wrong, right, _ = roc_curve(truth == 1, answer[:, 1])
        axes.plot(wrong, right, label=f"{name}, area {metrics.roc_auc(truth, answer, weight):.4f}", **look)
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", label="chance")
    axes.set(title="ROC curve", xlabel="false positive rate", ylabel="true positive rate")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, truth: Array, answers: dict[str, Array]) -> None:
    for name, answer, look in _named(answers):
        precision, recall, _ = precision_recall_curve(truth == 1, answer[:, 1])
        area = float(np.sum(np.diff(recall[::-1]) * precision[::-1][1:]))
        axes.plot(recall, precision, label=f"{name}, area {area:.4f}", **look)
    share = float((truth == 1).mean())
    axes.axhline(share, color=BASELINE, linestyle="--", label=f"chance, {share:.3f}")
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left")


def _calibration(axes: Axes, truth: Array, answers: dict[str, Array]) -> None:
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", label="perfect")
    for name, answer, look in _named(answers):
        order = np.argsort(answer[:, 1], kind="stable")
        groups = [group for group in np.array_split(order, 10) if len(group)]
        said = [float(answer[group, 1].mean()) for group in groups]
        seen = [float((truth[group] == 1).mean()) for group in groups]
        axes.plot(said, seen, marker="o", markersize=5, label=f"{name}, ten equal groups", **look)
    axes.set(title="Calibration", xlabel="predicted probability", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")


def _confusion(axes: Axes, truth: Array, answer: Array, classes: list[str]) -> None:
    known = truth >= 0
    count = np.zeros((len(classes), len(classes)))
    np.add.at(count, (truth[known].astype(np.intp), answer[known].argmax(axis=1)), 1.0)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1.0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(title="Confusion, share of each true class", xlabel="predicted", ylabel="true")
    if len(classes) > MAX_LABELS:
        return
    short = [label if len(label) <= 16 else label[:15] + "…" for label in classes]
    axes.set_xticks(range(len(classes)), short, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), short)
    for row, column in np.argwhere(count > 0):
        colour = "white" if share[row, column] > 0.5 else "#1f2937"
        text = f"{share[row, column]:.2f}" if len(classes) <= 12 else f"{share[row, column] * 100:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9 if len(classes) <= 12 else 7)


def _predicted_actual(axes: Axes, truth: Array, answer: Array) -> None:
    some = slice(None, None, -(-len(truth) // MAX_POINTS))
    axes.scatter(answer[some], truth[some], s=9, alpha=0.35, color=MODEL, linewidths=0)
    ends = [float(min(truth.min(), answer.min())), float(max(truth.max(), answer.max()))]
    axes.plot(ends, ends, color=CHAMPION, linestyle="--", label="perfect")
    axes.set(title="Predicted and actual", xlabel="predicted", ylabel="actual")
    axes.legend(loc="upper left")


def _residuals(axes: Axes, truth: Array, answer: Array) -> None:
    error = truth - answer
    low, high = (float(end) for end in np.quantile(error, [0.005, 0.995]))
    least = 1e-6 * max(1.0, abs(low), abs(high))
    ends = (low, high) if high - low > least else (low - least, high + least)
    axes.hist(np.clip(error, *ends), bins=60, range=ends, color=MODEL, alpha=0.85)
    axes.axvline(0.0, color=CHAMPION, linestyle="--")
    axes.axvline(float(error.mean()), color=BASELINE, label=f"mean {error.mean():.4g}")
    axes.set(title="Residuals, outermost 1 % gathered at the ends", xlabel="actual − predicted", ylabel="rows")
    axes.legend(loc="upper right")
