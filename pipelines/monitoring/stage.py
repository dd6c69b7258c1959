"""The operation ``monitor``: looks at the gateway, at every live service and at what callers send."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import httpx

from pipelines.alerting.deliver import deliver
from pipelines.artifacts import Outcome
from pipelines.inference.service.client import is_ready
from pipelines.inference.service.tls import SCHEME, Certificates
from pipelines.ledger import Ledger
from pipelines.monitoring import checks
from pipelines.monitoring.alerts import settle
from pipelines.monitoring.burn_rate import availability
from pipelines.monitoring.drift.window import KIND
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.heartbeat import beat
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.page.page import publish
from pipelines.monitoring.performance.realised import realised
from pipelines.monitoring.platform_health import platform_health
from pipelines.monitoring.reaction.drift import probed
from pipelines.monitoring.reaction.floor import floor
from pipelines.monitoring.rows import look_at_rows
from pipelines.monitoring.service import keep_service
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import read_traffic
from pipelines.settings import Settings
from pipelines.storage import bring_logs

log = logging.getLogger(__name__)


def monitor(
    settings: Settings, now: datetime | None = None, spec: MonitorSpec | None = None, probe: checks.Probe | None = None
) -> list[Finding]:
    """Look at the gateway and at every model with a live version; fire and resolve alerts, which others deliver.

    Parameters
    ----------
    now
        End of the windows; default: the present.
    probe
        Asks an address whether it is ready; default: HTTP, any status but 200 is not ready.
    """
    spec = spec or MonitorSpec()
    now = (now or datetime.now(UTC)).astimezone(UTC)
    ask = probe or http_probe(spec.probe_seconds, Certificates.of(settings))
    with Ledger.open(settings) as ledger:
        findings = [checks.gateway_ready(settings, ask)]
        settle(ledger, findings, spec.calm_looks)
        for model in sorted(ledger.routes()):
            found = _look_at(settings, spec, ledger, model, now, ask)
            settle(ledger, found, spec.calm_looks)
            _publish(settings, spec, ledger, model, found, now)
            findings += found
        beat(settings, now)
    return findings


def _look_at(
    settings: Settings, spec: MonitorSpec, ledger: Ledger, model: str, now: datetime, ask: checks.Probe
) -> list[Finding]:
    champion = ledger.champion(model)
    if champion is None:
        return []
    served = next((row for row in ledger.serving(model) if row.version == champion.version), None)
    ended = [window.ended_at for window in ledger.windows(model, KIND, 1)]
    recent = now - max(timedelta(hours=spec.drift_window_hours), timedelta(minutes=spec.error_window_minutes))
    oldest = now - timedelta(days=spec.lookback_days)
    first = min(recent, max([oldest, *ended]))
    traffic = read_traffic(bring_logs(settings, model, first, now), model, first, now)
    live = LiveModel(settings, ledger, champion)
    keep_service(spec, ledger, model, traffic)
    return [
        checks.service_ready(settings, champion, served, ask),
        checks.champion_age(spec, champion, now),
        checks.log_readable(model, traffic),
        *checks.guarded(model, "errors", lambda: [checks.error_rate(spec, model, traffic, now)]),
        *checks.guarded(model, "availability", lambda: [availability(spec, model, traffic, now)]),
        *checks.guarded(model, "drift", lambda: probed(spec, live, look_at_rows(spec, live, traffic, now), now)),
        *checks.guarded(model, "realised", lambda: realised(spec, live, now)),
        *checks.guarded(model, "floor", lambda: floor(settings, spec, ledger, champion, traffic, now)),
    ]


def _publish(
    settings: Settings, spec: MonitorSpec, ledger: Ledger, model: str, findings: list[Finding], now: datetime
) -> None:
    champion = ledger.champion(model)
    if champion is None:
        return
    try:
        path = publish(spec, LiveModel(settings, ledger, champion), findings, now)
    except Exception as error:  # noqa: BLE001 - whatever ails a page, the monitor goes on
        log.warning(f"no page of {model}: {type(error).__name__}: {error}")
    else:
        log.info(f"page of {model}: {path}")


def http_probe(seconds: float, certificates: Certificates | None = None) -> checks.Probe:
    """Return the probe that asks a service's socket or port, or over HTTP without redirects and proxies."""

    def ask(address: str) -> str:
        if address.startswith(("unix:", SCHEME)):
            return "" if is_ready(address, seconds, certificates) else "does not answer"
        try:
            response = httpx.get(address, timeout=seconds, trust_env=False)
        except httpx.HTTPError as error:
            return f"gave no answer ({type(error).__name__})"
        return "" if response.status_code == 200 else f"answered {response.status_code}"

    return ask


def look_at_all(settings: Settings, spec: MonitorSpec) -> list[Finding]:
    """Look at what :func:`monitor` looks at, then at the platform and the processes; fire alerts, deliver them once."""
    findings = monitor(settings, spec=spec)
    with Ledger.open(settings) as ledger:
        of_platform = platform_health(settings, spec, ledger, datetime.now(UTC))
        settle(ledger, of_platform, spec.calm_looks)
        deliver(settings, ledger)
    return [*findings, *of_platform]


def run(spec: MonitorSpec, *, settings: Settings) -> Outcome:
    """Take one look; an alert is a finding, not a failure."""
    findings = look_at_all(settings, spec)
    for finding in findings:
        log.info(f"{finding.state:8}{finding.model or '-':24}{finding.kind:10}{finding.message}")
    retrain = [{"model": finding.model, "why": finding.text} for finding in findings if finding.retrain]
    return Outcome(stats={"findings": [finding.model_dump(mode="json") for finding in findings], "retrain": retrain})
