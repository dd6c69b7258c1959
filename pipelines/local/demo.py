"""`make run`: one more day of the demo feed, the platform, one night, and a report."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.local.airflow_config import USER, password_file
from pipelines.local.demo_flights import simulate_flights
from pipelines.local.demo_loans import simulate
from pipelines.settings import Settings
from pipelines.storage import resolve
from pipelines.text_table import text_table
from pipelines.waiting import wait_until

MODEL = "loans"
FIRST_DAY = date(2026, 1, 1)
FIRST_DAYS = 30
TOKEN = "demo"  # noqa: S105 - the name of the token, not its text
Say = Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """A finished demo night."""

    night: str
    lines: list[str]
    """The report; the last one is the curl line."""


def feed_days(settings: Settings) -> list[date]:
    """Return the days that the feed holds, oldest first."""
    names = (path.stem.removeprefix("applications-") for path in (settings.feed / MODEL).glob("applications-*.csv"))
    return sorted(date.fromisoformat(name) for name in names)


def extend_feed(settings: Settings, days: int, start: date | None = None, seed: int = 0) -> list[Path]:
    """Write ``days`` more days of both feeds, from ``start`` or from the day after the last one; return the files."""
    known = feed_days(settings)
    first = start or (known[-1] + timedelta(days=1) if known else FIRST_DAY)
    return simulate(settings.feed / MODEL, first, days, seed) + simulate_flights(
        settings.feed / "flights", first, days, seed
    )


def next_day(settings: Settings) -> datetime:
    """Extend the feed by one day (at first by a month) and return the date of the night that reads all of it.

    A day whose night did not end well is tried again instead of being passed over. After a night of a later date (one
    that the schedule started, say) the feed catches up with it, for an older night never moves what is live.
    """
    known = feed_days(settings)
    newest = _newest_night(settings)
    if not known:
        extend_feed(settings, FIRST_DAYS)
    elif newest is not None and newest >= _night_of(known[-1]):
        extend_feed(settings, (newest - _night_of(known[-1])).days + 1)
    return _night_of(feed_days(settings)[-1])


def _night_of(day: date) -> datetime:
    """Return the date of the night after a day, which reads the files dated before it."""
    after = day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, 2, tzinfo=UTC)


def _newest_night(settings: Settings) -> datetime | None:
    """Return the date of the newest successful night."""
    with Ledger.open(settings) as ledger:
        return max((row.as_of for row in ledger.nights(MODEL) if row.state == "success"), default=None)


def run_demo(settings: Settings, night: Callable[[Settings, str, datetime], list[str]], say: Say) -> Demo:
    """Extend the feed, start the platform, run one night through Airflow's scheduler, and report.

    Parameters
    ----------
    night
        Runs one night of a model and returns the lines of its verdict (`pipelines.cli.night.run_night`).
    say
        Told what is going on.
    """
    from pipelines.local import platform

    settings.ensure()
    moment = next_day(settings)
    say(f"demo feed: {len(feed_days(settings))} days, night of {moment:%Y-%m-%d}")
    platform.up(settings, say)
    verdict = night(settings, MODEL, moment)
    with Ledger.open(settings) as ledger:
        run_id = ledger.nights(MODEL)[-1].night
        return Demo(run_id, [*verdict, *report(settings, ledger, run_id)])


def report(settings: Settings, ledger: Ledger, night: str) -> Iterator[str]:
    """Yield where the time went, the addresses, where the password is kept, and one curl line that was tried."""
    row = ledger.night(MODEL, night)
    stages = [(stage.stage, float(stage.seconds or 0.0), stage.reused) for stage in ledger.stages(MODEL, night)]
    lines = [[stage, f"{seconds:.1f} s", "re-used" if reused else ""] for stage, seconds, reused in stages]
    if row is not None and row.finished_at is not None:
        whole = (row.finished_at - row.started_at).total_seconds()
        outside = max(whole - sum(seconds for _, seconds, _ in stages), 0)
        lines += [["Airflow", f"{outside:.1f} s", ""], ["night", f"{whole:.1f} s", ""]]
    yield ""
    yield "where the time went"
    yield from text_table(lines, right=(1,), least=9, indent=2)
    yield ""
    yield from text_table(
        [
            ["Airflow", f"{settings.airflow_url}/dags/retrain_{MODEL}"],
            ["", f"user {USER}, password in {password_file(settings)}"],
            ["MLflow", f"{settings.mlflow_uri}, the same user"],
            ["Data Docs", data_docs(settings, ledger, night) or "none"],
            ["prediction API", f"{settings.gateway_url}/v1/models/{MODEL}:predict"],
        ]
    )
    yield ""
    yield curl_line(settings, ledger)


def data_docs(settings: Settings, ledger: Ledger, night: str) -> str | None:
    """Return the address of the night's Data Docs."""
    ref = next((row.ref for row in ledger.stages(MODEL, night) if row.stage == "validate" and row.ref), None)
    if ref is None:
        return None
    page = resolve(settings, ref["uri"], tables=False) / "docs" / "index.html"
    return page.as_uri() if page.is_file() else None


def curl_line(settings: Settings, ledger: Ledger, seconds: float = 20.0) -> str:
    """Return one curl line with a fresh token, after the same request was served.

    Raises
    ------
    AimassError
        If the prediction API does not return a prediction in time.
    """
    token = ledger.issue_token(TOKEN, [f"predict:{MODEL}"], 30)
    url = f"{settings.gateway_url}/v1/models/{MODEL}:predict"
    body = {"instances": [example_row(settings)]}
    headers = {"Authorization": f"Bearer {token}"}
    seen = ""
    with httpx.Client(timeout=5.0, trust_env=False) as client:

        def responded() -> bool | None:
            nonlocal seen
            try:
                response = client.post(url, json=body, headers=headers)
            except httpx.TransportError as error:
                seen = str(error)
                return None
            seen = f"{response.status_code} {response.text[:300]}"
            return response.status_code == 200 or None

        if not wait_until(responded, seconds=seconds, every=0.5):
            raise AimassError("the prediction API does not respond", where=url, seen=seen, cure="aimass status")
    return " ".join(
        [
            "curl",
            "-sS",
            url,
            "-H",
            shlex.quote(f"Authorization: Bearer {token}"),
            "-H",
            shlex.quote("Content-Type: application/json"),
            "-d",
            shlex.quote(json.dumps(body, ensure_ascii=True)),
        ]
    )


def example_row(settings: Settings) -> dict[str, Any]:
    """Return the newest application of the feed as a caller would send it: without its outcome and without blanks."""
    newest = max((settings.feed / MODEL).glob("applications-*.csv"))
    with newest.open(newline="") as stream:
        for row in csv.DictReader(stream):
            if not row["defaulted"] and all(value.strip() for name, value in row.items() if name != "defaulted"):
                return {name: _number(value) for name, value in row.items() if name != "defaulted"}
    raise AimassError("the newest day of the feed has no whole row", where=str(newest))


def _number(text: str) -> Any:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text
