"""Two versions side by side: what the ledger has at once, then what `aimass why` finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.visits import Visit
from pipelines.child_environment import as_environment
from pipelines.errors import AimassError
from pipelines.ledger.rows import VersionRow
from pipelines.metrics import METRICS

SECONDS = 120
KEPT = 200
"""Comparisons that are remembered."""


def show(visit: Visit) -> Response:
    """``GET /models/NAME/parts/compare?a=N&b=M``: metrics, gate and cost of two versions."""
    new, old = _chosen(visit)
    name = visit.model.name
    scores = [_scores(visit, row) for row in (new, old)]
    names = list(dict.fromkeys([*scores[0], *scores[1]]))
    metrics = [
        {
            "name": each,
            "new": scores[0].get(each),
            "old": scores[1].get(each),
            "judges": each == new.metric,
            "better": _better(each, scores[0].get(each), scores[1].get(each)),
        }
        for each in names
    ]
    costs = [visit.ledger.cost(name, row.night) for row in (new, old)]
    return visit.page("parts/compare.html.jinja", model=visit.model, new=new, old=old, metrics=metrics, costs=costs)


def why(visit: Visit) -> Response:
    """``GET /models/NAME/parts/why?a=N&b=M``: what changed in data, settings, features and code, and what it did.

    `aimass why` reads tables and predicts rows: it does so in a process of its own.
    """
    new, old = _chosen(visit)
    key = (visit.model.name, new.version, old.version)
    known = visit.center.compared
    if key not in known:
        if len(known) >= KEPT:
            known.pop(next(iter(known)), None)
        known[key] = _asked(visit, *key)
    return visit.page("parts/why.html.jinja", facts=known[key], new=new, old=old)


def _chosen(visit: Visit) -> tuple[VersionRow, VersionRow]:
    found = [visit.ledger.version(visit.model.name, visit.number(each)) for each in ("a", "b")]
    if found[0] is None or found[1] is None:
        raise HTTPException(404, "no such version")
    if found[0].version == found[1].version:
        raise HTTPException(422, "choose two different versions")
    new, old = sorted((found[0], found[1]), key=lambda row: -row.version)
    return new, old


def _scores(visit: Visit, row: VersionRow) -> dict[str, float]:
    stats: dict[str, Any] = next(
        (each.stats or {} for each in visit.ledger.stages(row.model, row.night) if each.stage == "evaluate"), {}
    )
    found = (stats.get("scores") or {}).get("model") or {}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _better(metric: str, new: float | None, old: float | None) -> bool | None:
    if new is None or old is None or new == old or metric not in METRICS:
        return None
    return METRICS[metric].sign * (new - old) > 0


def _asked(visit: Visit, name: str, new: int, old: int) -> dict[str, Any]:
    words = ["why", name, "--version", str(new), "--against", str(old), "--json"]
    environment = {**os.environ, **as_environment(visit.settings), "PYTHONPATH": ":".join(sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pipelines.cli.main", *words],
            capture_output=True,
            timeout=SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AimassError(
            "the comparison took too long",
            where=f"{name}, versions {new} and {old}",
            expected=f"an end within {SECONDS} s",
            cure=f"aimass why {name} --version {new} --against {old}",
        ) from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()[-1500:]
        raise AimassError("the comparison failed", where=" ".join(["aimass", *words]), seen=told)
    return dict(json.loads(done.stdout))
