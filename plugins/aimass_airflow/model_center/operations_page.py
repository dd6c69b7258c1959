"""The page of operations: platform alerts, backups and drills, monitor, queue and pools, disk, cost per model."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.model_page import Event, alert_lines, told
from aimass_airflow.model_center.visits import Visit
from pipelines.backup.listing import describe_backups
from pipelines.backup.shelf import begun, list_backups
from pipelines.gateway.prices import Prices
from pipelines.ledger.rows import TaskUsageRow
from pipelines.monitoring.heartbeat import overdue

SHOWN = 20
OPERATIONS = ("monitor", "backup", "restore_drill", "housekeeping", "rollback", "promote", "pause", "batch_predict")


def show(visit: Visit) -> Response:
    """``GET /operations``."""
    if not visit.center.rights.may_operate(visit.user):
        raise HTTPException(403, "you may not see operations: the right to read the DAG monitor is missing")
    ledger, settings = visit.ledger, visit.settings
    folders = {"home": settings.home, "backups": settings.backups}
    backups = list_backups(settings)
    acts = ledger.actions(most=SHOWN)
    seen = visit.visible({row.model for row in acts if row.model})
    return visit.page(
        "operations.html.jinja",
        here="operations",
        alerts=alert_lines(visit, [row for row in ledger.alerts_of(None) if row.resolved_at is None]),
        may={action: visit.may(action, "") for action in ("acknowledge", "silence")},
        monitor=overdue(settings, datetime.now(UTC)),
        runs=_runs(visit, ledger.newest_operations()),
        newest=begun(backups[-1].name) if backups else None,
        backups=len(backups),
        pools=visit.center.airflow.pools(),
        disks={name: shutil.disk_usage(folder) for name, folder in folders.items() if folder.is_dir()},
        ledger_bytes=settings.ledger_path.stat().st_size if settings.ledger_url is None else None,
        events=[
            (row.model, Event(row.at, told(row.kind, row.about), row.actor, row.why, row.outcome))
            for row in acts
            if not row.model or row.model in seen
        ],
    )


def _runs(visit: Visit, runs: dict[str, TaskUsageRow]) -> list[dict[str, Any]]:
    return [
        {"name": name, "row": runs.get(name), "paused": visit.center.airflow.nights_paused(name)} for name in OPERATIONS
    ]


def backups(visit: Visit) -> Response:
    """``GET /parts/backups``: the newest backups; their manifests are read."""
    _need(visit)
    return visit.page("parts/backups.html.jinja", rows=describe_backups(visit.settings)[: -SHOWN - 1 : -1])


def costs(visit: Visit) -> Response:
    """``GET /parts/costs``: CPU and GPU time of the last 30 days by model, nights and services."""
    _need(visit)
    prices = Prices.load(visit.settings.home)
    since = datetime.now(UTC) - timedelta(days=30)
    found = visit.ledger.cost_by_model(since)
    seen = visit.visible(found)
    lines: list[dict[str, Any]] = [
        {
            "model": name,
            **row,
            "money": float(prices.cpu_hour) * (row["cpu"] + row["serving"]) / 3600
            + float(prices.gpu_hour) * row["gpu"] / 3600,
        }
        for name, row in found.items()
        if name in seen
    ]
    lines.sort(key=lambda line: -(line["cpu"] + line["serving"]))
    currency = prices.currency if prices.cpu_hour or prices.gpu_hour else None
    return visit.page("parts/costs.html.jinja", lines=lines, currency=currency)


def _need(visit: Visit) -> None:
    if not visit.center.rights.may_operate(visit.user):
        raise HTTPException(403, "the right to read the DAG monitor is missing")
