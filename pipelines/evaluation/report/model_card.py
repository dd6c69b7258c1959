"""The model card of one version (Mitchell et al., 2019): one HTML file with everything that was judged by."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from pipelines.artifacts import Night
from pipelines.inference.model_directory import ModelDirectory
from pipelines.metrics import METRICS

FILE = "card.html"
PLOTS = {
    "roc": "How well it ranks",
    "precision_recall": "Precision against recall",
    "lift": "Lift",
    "calibration": "Whether probabilities mean what they say",
    "confusion": "Which class is predicted for which",
    "probabilities": "How well the classes are separated",
    "thresholds": "What each threshold gives",
    "predicted_actual": "Predicted and actual",
    "distribution": "How predictions are spread",
    "residuals": "Errors",
    "residuals_predicted": "Errors by prediction",
    "learning_curve": "What more rows would bring",
    "importance": "What the score hangs on",
    "partial_dependence": "Mean prediction for sealed rows, with one strong column set to each of its values",
    "pareto": "Score against the time of a row",
    "map": "The rows in two dimensions",
    "silhouettes": "How clearly each row belongs to its cluster",
    "variance": "What the components hold",
}
LIMITS = {
    "megabytes": "size, MB of 10⁶ bytes",
    "milliseconds_of_a_row": "median time of a row, ms",
    "calibration_error": "expected calibration error",
}
MOST_SHOWN = 25
MOST_CLASSES = 60
NAMES = {
    "model": "this version",
    "champion": "champion",
    "anchor": "best ever",
    "linear": "linear",
    "baseline": "dummy",
}


def gather(
    night: Night,
    facts: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, Any]],
    details: Mapping[str, Any],
    opened: ModelDirectory,
    pictures: Mapping[str, Path],
) -> dict[str, Any]:
    """Return what the card shows; the template only formats it.

    Parameters
    ----------
    facts
        ``verdict.json``.
    scores
        ``metrics.json``: scores by model, then by metric.
    details
        ``details.json``.
    opened
        The model directory.
    pictures
        PNG files by name; those of ``PLOTS`` come first, in that order.
    """
    described, certificate = opened.facts, opened.certificate
    # Members come from any release's model.json: only what all of them say is read.
    members = [
        {
            "family": str(one.get("family", "?")),
            "weight": one.get("weight"),
            "size": one.get("trees"),
            "params": one.get("params") or {},
        }
        for one in described.get("members", ())
    ]
    columns = [name for name in NAMES if name in scores]
    metrics = sorted(scores["model"], key=lambda name: name != facts["metric"])  # the one that judges first
    order = [*(name for name in PLOTS if name in pictures), *sorted(set(pictures) - set(PLOTS))]
    return {
        "model": night.model,
        "night": night.night,
        "as_of": f"{night.as_of:%Y-%m-%d %H:%M} UTC",
        "facts": facts,
        "described": described,
        "members": members,
        "digest": details["digest"],
        "certificate": _certified(certificate) if certificate else [],
        "columns": [(name, NAMES[name]) for name in columns],
        "scores": [(name, _more_is_better(name), [scores[column].get(name) for column in columns]) for name in metrics],
        "details": details,
        "classes": details["classes"][:MOST_CLASSES],
        "importance": _aligned(_bars(details["importance"][:MOST_SHOWN], "loss")),
        "attention": _bars(details["attention"][:MOST_SHOWN], "share"),
        "slices": _by_column(details["slices"]),
        "pictures": [(name, PLOTS.get(name, name.replace("_", " ")), embedded(pictures[name])) for name in order],
        "limits": _limits(details["limits"]),
    }


def render(page: Mapping[str, Any]) -> str:
    """Return the card as HTML: one file, nothing from elsewhere, no script."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"n": _count, "s": _score, "signed": lambda value: _score(value, "+")}
    return environment.get_template("card.html.jinja").render(**page)


def embedded(picture: Path) -> str:
    """Return a PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


def _count(value: Any) -> str:
    return f"{value:,.0f}".replace(",", "\u202f") if isinstance(value, int | float) else "–"


def _score(value: Any, sign: str = "") -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:{sign}.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:{sign}.4g}"


def _bars(entries: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    most = max((abs(entry[field]) for entry in entries), default=0.0) or 1.0
    return [{**entry, "width": 100 * abs(entry[field]) / most} for entry in entries]


def _aligned(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write losses and their errors with as many decimals as the largest loss needs for three digits."""
    most = max((abs(entry["loss"]) for entry in entries), default=0.0)
    decimals = min(9, max(0, 2 - math.floor(math.log10(most)))) if most > 0 else 4
    return [
        {**entry, "loss_text": f"{entry['loss']:.{decimals}f}", "error_text": f"{entry['error']:.{decimals}f}"}
        for entry in entries
    ]


def _more_is_better(metric: str) -> bool:
    name = metric.removeprefix("macro_")
    return name in ("precision", "recall") or (name in METRICS and METRICS[name].greater_is_better)


def _by_column(slices: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in slices:
        found.setdefault(one["column"], []).append(one)
    return found


def _limits(limits: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return each limit: its name, the measured and the declared value."""
    return [
        (LIMITS[name], _score(measured), _score(most) if most is not None else "none")
        for name, (measured, most) in limits.items()
    ]


def _certified(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return what compression changed: title, before, after; of whatever the certificate says."""
    rows = [
        (str(found.get("metric", "score")), _exact(found.get("score")), _exact(found.get("score_compressed"))),
        ("bytes", _count(found.get("bytes_before")), _count(found.get("bytes"))),
        ("trees", _count(found.get("trees_before")), _count(found.get("trees"))),
        ("milliseconds of a row, estimated", "", _score(found.get("row_ms_estimate"))),
        ("loss that was accepted", "", _score(found.get("bound"))),
    ]
    return [row for row in rows if set(row[1:]) - {"", "–"}]


def _exact(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) and math.isfinite(value) else "–"
