"""Scores over nights: a small line for a table, and the data of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.ledger.overview import NightLine, ScoreRow

WIDTH, HEIGHT, EDGE = 120.0, 28.0, 3.0


@dataclass(frozen=True)
class Spark:
    """A line of scores in a box of 120 by 28.

    Parameters
    ----------
    path
        The line, as an SVG path.
    kept
        Points of nights whose version was kept.
    last
        The newest point.
    """

    path: str
    kept: list[tuple[float, float]]
    last: tuple[float, float]
    text: str


def spark(rows: Sequence[ScoreRow]) -> Spark | None:
    """Draw the scores of some versions; None if there is none."""
    scored = [(row, row.score) for row in rows if row.score is not None]
    if not scored:
        return None
    low, high = min(score for _, score in scored), max(score for _, score in scored)
    step = (WIDTH - 2 * EDGE) / max(len(scored) - 1, 1)

    def point(place: int, score: float) -> tuple[float, float]:
        share = (score - low) / (high - low) if high > low else 0.5
        return round(EDGE + place * step, 1), round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)

    points = [point(place, score) for place, (_, score) in enumerate(scored)]
    if len(points) == 1:
        points = [(WIDTH / 2, points[0][1])]
    return Spark(
        path="M" + "L".join(f"{x},{y}" for x, y in points),
        kept=[at for at, (row, _) in zip(points, scored, strict=True) if row.verdict == "kept"],
        last=points[-1],
        text=f"{len(scored)} scores from {low:.4g} to {high:.4g}, the last {scored[-1][1]:.4g}",
    )


def score_chart(nights: Sequence[NightLine], versions: Sequence[ScoreRow]) -> dict[str, Any]:
    """Return the data of the chart of all nights: promoted, kept and failed ones, and the baseline.

    Returns
    -------
    dict
        ``x``: moments in seconds, in order; ``series``: [{label, kind, values}] with a value or null for each moment.
        A failed night has no score: it is drawn at the lowest of the others.
    """
    by_night = {row.night: row for row in versions}
    rows = sorted(nights, key=lambda row: row.as_of)
    known = [row.score for row in versions if row.score is not None]
    bottom = min(known, default=0.0)
    x: list[float] = []
    promoted: list[float | None] = []
    kept: list[float | None] = []
    failed: list[float | None] = []
    baseline: list[float | None] = []
    for night in rows:
        version = by_night.get(night.night)
        score = None if version is None else version.score
        if score is None and night.state != "failed":
            continue
        how = version.verdict if version is not None else None
        x.append(night.as_of.timestamp())
        promoted.append(score if how != "kept" else None)
        kept.append(score if how == "kept" else None)
        failed.append(bottom if score is None else None)
        baseline.append(version.baseline if version is not None else None)
    series = [
        {"label": "promoted", "kind": "promoted", "values": promoted},
        {"label": "kept", "kind": "kept", "values": kept},
        {"label": "failed", "kind": "failed", "values": failed},
        {"label": "baseline", "kind": "level", "values": baseline},
    ]
    return {"x": x, "series": [each for each in series if any(value is not None for value in each["values"])]}
