"""``python -m pipelines.monitoring.stage [SPEC_JSON]``: what the monitor DAG starts. Exit 0: the look was taken."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import httpx

from pipelines import settings as configuration
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.monitoring import checks
from pipelines.monitoring.alerts import settle
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import read_traffic
from pipelines.settings import Settings

SPEC = MonitorSpec


def monitor(
    settings: Settings,
    now: datetime | None = None,
    spec: MonitorSpec | None = None,
    probe: checks.Probe | None = None,
) -> list[Finding]:
    """Look at the gateway and at every model with a live version; fire and resolve alerts.

    Parameters
    ----------
    now
        End of the windows; default: the present.
    probe
        Asks an address whether it is ready; default: HTTP, any answer but 200 is not ready.
    """
    spec = spec or MonitorSpec()
    now = (now or datetime.now(UTC)).astimezone(UTC)
    ask = probe or http_probe(spec.probe_seconds)
    with Ledger.open(settings) as ledger:
        findings = [checks.gateway_ready(settings, ask)]
        for model in sorted(ledger.routes()):
            findings += _look_at(settings, spec, ledger, model, now, ask)
        settle(ledger, findings)
    return findings


def _look_at(
    settings: Settings, spec: MonitorSpec, ledger: Ledger, model: str, now: datetime, ask: checks.Probe
) -> list[Finding]:
    champion = ledger.champion(model)
    if champion is None:
        return []
    served = next((row for row in ledger.serving(model) if row.version == champion.version), None)
    longest = max(timedelta(hours=spec.drift_window_hours), timedelta(minutes=spec.error_window_minutes))
    traffic = read_traffic(settings.storage, model, now - longest, now)
    return [
        checks.service_ready(settings, champion, served, ask),
        checks.champion_age(spec, champion, now),
        checks.log_readable(model, traffic),
        checks.guarded(model, "errors", lambda: checks.error_rate(spec, model, traffic, now)),
        checks.guarded(model, "drift", lambda: checks.input_drift(settings, spec, ledger, champion, traffic)),
    ]


def http_probe(seconds: float) -> checks.Probe:
    """Give the probe that asks over HTTP; it follows no redirect and reads no proxy from the environment."""

    def ask(address: str) -> str:
        try:
            answer = httpx.get(address, timeout=seconds, trust_env=False)
        except httpx.HTTPError as error:
            return f"gave no answer ({type(error).__name__})"
        return "" if answer.status_code == 200 else f"answered {answer.status_code}"

    return ask


def main(arguments: list[str]) -> int:
    """Run with the spec that the DAG file declares, as JSON; give the exit code."""
    try:
        spec = MonitorSpec(**json.loads(arguments[0] if arguments else "{}"))
        findings = monitor(configuration.load(), spec=spec)
    except AimassError as error:
        print(f"{error.kind}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    for finding in findings:
        print(
            f"{finding.state:8}{finding.model or '-':24}{finding.kind:10}{finding.message}", file=sys.stderr, flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
