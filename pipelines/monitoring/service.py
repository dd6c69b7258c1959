"""How the service did in the requests since the last look: kept in the ledger, for the time lines."""

from __future__ import annotations

from pipelines.ledger import Ledger
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic

KIND = "service"


def keep_service(spec: MonitorSpec, ledger: Ledger, model: str, traffic: Traffic) -> None:
    """Keep share of errors and response times of the requests that no window has, once they are enough."""
    rows = traffic.rows
    ended = [window.ended_at for window in ledger.windows(model, KIND, 1)]
    if ended:
        rows = rows[rows["at"] > ended[0]]
    requests = rows.drop_duplicates("request_id")
    if len(requests) < spec.min_requests:
        return
    online = requests[~requests["request_id"].str.startswith("batch-")]
    times = online["ms"].dropna().quantile([0.5, 0.95])
    figures = {
        "requests": len(requests),
        "rows": len(rows),
        "errors": float((requests["status"] >= 500).mean()),
        "refused": float(requests["status"].between(400, 499).mean()),
        "p50": float(times[0.5]) if len(online) else None,
        "p95": float(times[0.95]) if len(online) else None,
    }
    ledger.add_window(
        model,
        KIND,
        started_at=rows["at"].min().to_pydatetime(),
        ended_at=rows["at"].max().to_pydatetime(),
        rows=len(rows),
        figures=figures,
    )
