"""What all plots share: colours, axes without a display, names of the models that are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[np.float64]
MODEL, CHAMPION, BASELINE, WORSE, INK, SOFT = "#1f5fa8", "#e08a1e", "#9aa3ad", "#b3261e", "#1f2937", "#6b7280"
ACROSS = 3
"""Plots beside each other in one file."""
CURVES = ("#1f5fa8", "#e08a1e", "#1a7f37", "#b3261e", "#7b4fb5", "#0f8b8d", "#c2528b", "#7a6a2f", "#4b5563", "#5fa8d3")
"""Colours of what there are several of."""
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
}
STYLES: dict[str, dict[str, Any]] = {
    "model": {"color": MODEL, "linewidth": 2.2, "zorder": 3},
    "champion": {"color": CHAMPION, "linewidth": 1.5},
}


@contextmanager
def canvas(path: Path, title: str, size: float = 5.6) -> Iterator[Axes]:
    """Draw one PNG file: axes to draw on, then the title of the plot and, below it, ``title``."""
    with _figure(path, size * 1.12, size) as figure:
        axes = figure.subplots()
        yield axes
        axes.set_title(f"{axes.get_title(loc='left')}\n", loc="left")
        axes.text(0, 1.02, title, transform=axes.transAxes, fontsize=9, color=SOFT)


@contextmanager
def panels(path: Path, heading: str, title: str, count: int) -> Iterator[list[Axes]]:
    """Draw one wide PNG file of ``count`` plots side by side on one scale upwards: axes to draw on, then empty ones."""
    across = 2 if count == 4 else min(count, ACROSS)
    height = 0.6 + 3.2 * -(-count // across)
    with _figure(path, 1.0 + 3.5 * across, height) as figure:
        found = list(figure.subplots(-(-count // across), across, sharey=True, squeeze=False).flat)
        for spare in found[count:]:
            spare.set_axis_off()
        yield found
        figure.suptitle(f"{heading}\n", x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.text(0.01, 1.0 - 0.27 / height, title, va="top", fontsize=9, color=SOFT)


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    # A Figure of its own needs no display and no global state; the file carries no date.
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        yield figure
        engine = figure.get_layout_engine()
        if engine is not None:  # laid out once: else each file is drawn twice
            engine.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(path, metadata={"Software": None})


def named(predictions: Mapping[str, Array]) -> Iterator[tuple[str, Array, dict[str, Any]]]:
    """Yield name, prediction and line style of the models that have a curve."""
    for name, style in STYLES.items():
        if name in predictions:
            yield name, predictions[name], style


def shortened(text: str, most: int = 16) -> str:
    """Cut a label."""
    return text if len(text) <= most else text[: most - 1] + "…"
