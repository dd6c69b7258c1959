"""A year of real flights, watched: a model of January predicts it, labels come a day late, the monitor looks weekly.

    python benchmarks/monitoring_flights.py --page flights.html

Trains on nyc_flights13's January with `aimass init` and `aimass run`, serves that version, and sends each later day's
flights and, a day later, their labels to the gateway over HTTP. The gateway's clock shows the days of 2013: libfaketime
(Debian's package ``faketime``) has to be there. Prints, by month, which alerts fired, the columns that were furthest
off, and the realised score; then the same December with distances 1.6 times too large.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from serving import free_port, running

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "nyc_flights13"
MODEL = "flights"
COLUMNS = [
    "carrier", "origin", "dest", "distance", "sched_minute", "weekday", "temp", "wind_speed", "precip", "pressure",
    "visib",
]  # fmt: skip
PER_MONTH = 5_000
CLOCK = "faketime/libfaketime.so.1"


def main() -> int:
    """Replay the year and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--leave-out", nargs="*", default=(), help="columns that are meant to move, such as temp")
    parser.add_argument("--page", type=Path, help="where the page of the last look is left")
    given = parser.parse_args()
    flights = read()
    with tempfile.TemporaryDirectory(prefix="aimass-flights-") as folder:
        home = Path(folder) / "home"
        train(Path(folder), home, flights[flights["at"] < "2013-02-01"], given.trials)
        year = sampled(flights[flights["at"] >= "2013-02-01"])
        december = pd.Timestamp("2013-12-01", tz="UTC")
        months = replay(home, year[year["at"] < december], tuple(given.leave_out))
        planted = Path(folder) / "planted"
        shutil.copytree(home, planted, symlinks=True)
        months |= replay(home, year[year["at"] >= december], tuple(given.leave_out))
        print(f"{'month':8}{'realised':>9}  {'alerts that fired or changed':75} furthest off")
        for month, one in months.items():
            print(f"{month:8}{one['auc']:9.3f}  {'; '.join(one['alerts']) or '-':75} {one['worst']}")
        far = year[year["at"] >= december].assign(distance=lambda rows: rows["distance"] * 1.6)
        found = replay(planted, far.head(PER_MONTH // 2), tuple(given.leave_out), until="distance")
        print("distance x 1.6:", json.dumps(next(iter(found.values()))))
        if given.page is not None:
            shutil.copy(home / "docs" / "_operation" / f"{MODEL}.html", given.page)
    return 0


def read() -> pd.DataFrame:
    """Return the flights with the weather of their hour, and whether they came 15 minutes late or later."""
    flights, weather = (pd.read_csv(DATA / f"{name}.csv.gz") for name in ("flights", "weather"))
    flights = flights.dropna(subset=["arr_delay"])
    clock = (flights["dep_time"] // 100 * 60 + flights["dep_time"] % 100 - flights["dep_delay"]) % 1440
    flights = flights.assign(sched_minute=clock, hour=clock // 60)
    keys = ["origin", "year", "month", "day", "hour"]
    rows = flights.merge(weather.drop_duplicates(keys), on=keys, how="left", suffixes=("", "_w"))
    days = pd.to_datetime(rows[["year", "month", "day"]], utc=True)
    rows["at"] = days + pd.to_timedelta(rows["sched_minute"], unit="min")
    rows["weekday"] = days.dt.day_name()
    rows["late"] = (rows["arr_delay"] >= 15).map({True: "true", False: "false"})
    return rows[[*COLUMNS, "late", "at"]].sort_values("at", kind="stable", ignore_index=True)


def sampled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return some flights of every month, in order."""
    months = rows.groupby(rows["at"].dt.month, group_keys=False)
    return months.sample(n=PER_MONTH, random_state=0).sort_values("at", kind="stable", ignore_index=True)


def train(folder: Path, home: Path, rows: pd.DataFrame, trials: int) -> None:
    """Make version 1 of January's flights, which is live from then on."""
    rows.assign(id=range(len(rows)))[["id", *COLUMNS, "late"]].to_csv(folder / "january.csv", index=False)
    env = {**os.environ, "AIMASS_HOME": str(home), "AIMASS_DAGS_FOLDER": str(folder / "dags")}
    aimass = str(Path(sys.executable).with_name("aimass"))
    asked = ["--source", "january.csv", "--target", "late", "--positive", "true", "--key", "id"]
    for words in (["init", MODEL, *asked], ["run", MODEL, "--local", "--trials", str(trials)]):
        done = subprocess.run([aimass, *words], cwd=folder, env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"aimass {words[0]}: {done.stdout}{done.stderr}")


def settings_of(home: Path) -> Any:
    """Return the settings of a home."""
    from pipelines.settings import Settings

    return Settings(home=home, dags_folder=home.parent / "dags")


class Live:
    """A gateway before the service of version 1, whose clock is set by :meth:`at`."""

    def __init__(self, address: str, token: str, clock: Path) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60)
        self._clock = clock

    def at(self, moment: datetime) -> None:
        """Set the clock."""
        partial = self._clock.with_suffix(".partial")
        partial.write_text(f"{moment:%Y-%m-%d %H:%M:%S}\n")
        partial.replace(self._clock)

    def predict(self, rows: pd.DataFrame) -> str:
        """Send rows; return the request's id."""
        cells = rows.astype(object).where(rows.notna(), None).to_dict("records")
        response = self._client.post(f"/v1/models/{MODEL}:predict", json={"instances": cells})
        return str(response.raise_for_status().json()["request_id"])

    def label(self, request: str, labels: list[str]) -> None:
        """Send what the rows of a request turned out to be."""
        entries = [{"request_id": request, "row": row, "label": label} for row, label in enumerate(labels)]
        self._client.post("/v1/feedback", json={"model": MODEL, "feedback": entries}).raise_for_status()


@contextlib.contextmanager
def live(home: Path) -> Iterator[Live]:
    """Serve version 1 of a home and its gateway until this ends."""
    from pipelines.deployment.serve import private_service
    from pipelines.ledger import Ledger

    library = next((path for path in Path("/usr/lib").glob(f"*/{CLOCK}")), None)
    if library is None:
        raise SystemExit(f"no */{CLOCK} below /usr/lib: install the package faketime")
    settings, port = settings_of(home), free_port()
    clock = home.parent / f"{home.name}.clock"
    with Ledger.open(settings) as ledger, private_service(settings, MODEL, 1, 60) as address:
        token = ledger.issue_token("replay", ["predict", "feedback"], 1, rate="1000000/hour", quota="1000000000/month")
        ledger.want(MODEL, 1, "serve")
        ledger.observe(MODEL, 1, "ready", address=address)
        Live(address, token, clock).at(datetime(2013, 2, 1, tzinfo=UTC))
        environment = {
            "AIMASS_HOME": str(home),
            "AIMASS_GATEWAY_PORT": str(port),
            "TZ": "UTC",
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        ready = f"http://127.0.0.1:{port}/readyz/{MODEL}"
        with running([sys.executable, "-m", "pipelines.gateway"], ready, home.parent / "gateway.log", **environment):
            yield Live(f"http://127.0.0.1:{port}", token, clock)


def replay(
    home: Path, rows: pd.DataFrame, leave_out: tuple[str, ...], until: str | None = None
) -> dict[str, dict[str, Any]]:
    """Predict day by day, send labels a day later, look weekly; return what was found by month.

    Parameters
    ----------
    until
        Stop at the look whose drift names this column.
    """
    with live(home) as service:
        return watched(home, service, rows, leave_out, until)


def watched(
    home: Path, service: Live, rows: pd.DataFrame, leave_out: tuple[str, ...], until: str | None
) -> dict[str, dict[str, Any]]:
    """Do what :func:`replay` says with a service that runs."""
    from pipelines.gateway.parquet_log import FLUSH_SECONDS
    from pipelines.monitoring.spec import MonitorSpec
    from pipelines.monitoring.stage import monitor

    settings = settings_of(home)
    spec = MonitorSpec(max_age_days=10_000, quiet_days=400, leave_out=leave_out)
    months: dict[str, dict[str, Any]] = {}
    late: tuple[str, list[str]] | None = None
    seen, windows = alerts(home), 0
    for day, part in rows.groupby(rows["at"].dt.floor("D")):
        moment: datetime = pd.Timestamp(str(day)).to_pydatetime().astimezone(UTC) + timedelta(hours=23)
        service.at(moment)
        if late is not None:
            service.label(*late)
        late = service.predict(part[COLUMNS]), part["late"].tolist()
        month = months.setdefault(f"{moment:%Y-%m}", {"auc": float("nan"), "alerts": [], "worst": "", "scores": []})
        if moment.weekday() != 6:
            continue
        time.sleep(FLUSH_SECONDS + 1)
        found = {each.kind: each for each in monitor(settings, moment + timedelta(minutes=1), spec, lambda _: "")}
        windows += found["drift"].state != "unknown"
        fresh = alerts(home)
        kinds = [line for line in fresh[len(seen) :] if line["model"] == MODEL and line["kind"] != "service"]
        month["alerts"] += [f"{line['kind']} {line['state']}" for line in kinds if line["state"] != "resolved"]
        month["alerts"] = list(dict.fromkeys(month["alerts"]))
        seen = fresh
        if "realised" in found and found["realised"].value is not None:
            month["scores"].append(found["realised"].value)
            month["auc"] = sum(month["scores"]) / len(month["scores"])
        if found["drift"].state != "unknown":
            month["worst"] = found["drift"].message.partition(": ")[2][:150] or found["drift"].message[:100]
        if until and until in (found["drift"].about or ()):
            return {f"{moment:%Y-%m}": {"windows": windows, "message": found["drift"].message}}
    return months


def alerts(home: Path) -> list[dict[str, Any]]:
    """Return the lines of ``alerts.log``."""
    path = home / "logs" / "alerts.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
