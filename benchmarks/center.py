"""How soon the pages of the Model Center are there: 200 models with 400 nights each, and people, in a generated ledger.

    make bench-center
    make bench-center ARGS="--models 50 --nights 100"

Each page is asked for by an HTTP client (first byte) and opened in headless Chromium with its cache off (first paint,
and everything loaded, with the parts that come by themselves). Airflow's check of the session is left out: about a
millisecond.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "plugins")]
TARGETS = {"first byte": 300, "first paint": 300, "loaded": 1000}
"""Milliseconds at the 95th percentile."""


class Everybody:
    """Lets everybody do everything: the benchmark has no Airflow."""

    NAME = "bench"

    async def user(self, _request: Any) -> str:
        """Return the one user."""
        return self.NAME

    def name(self, user: str) -> str:
        """Return the user's name."""
        return user

    def visible(self, _user: str, models: Any) -> set[str]:
        """Return all models."""
        return set(models)

    def may(self, _user: str, _action: str, _model: str) -> bool:
        """Allow it."""
        return True

    def may_operate(self, _user: str) -> bool:
        """Allow it."""
        return True


def main() -> int:
    """Fill a ledger, serve it, and print the table; the exit code is 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--nights", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        from center_ledger import fill, gather

        from pipelines import settings as settings_module

        settings = settings_module.load(home=Path(folder) / "home", gateway_port=1024, mlflow_port=1025).ensure()
        started = time.monotonic()
        with fill(settings, given.models, given.nights) as ledger:
            gather(ledger, Everybody.NAME)
            size = settings.ledger_path.stat().st_size / 1e6
            took = time.monotonic() - started
            print(f"{given.models} models, {given.nights} nights each: a ledger of {size:.0f} MB, in {took:.0f} s")
            return run(settings, ledger, given.rounds)


def run(settings: Any, ledger: Any, rounds: int) -> int:
    """Measure each page ``rounds`` times and print the 95th percentiles."""
    import httpx
    import uvicorn
    from aimass_airflow.model_center.app import create_app
    from browser import browsing, find_browser
    from center import FakeAirflow
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from pipelines.text_table import text_table

    app = Starlette(routes=[Mount("/model-center", create_app(settings, ledger, Everybody(), FakeAirflow()))])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    name = ledger.models()[0].name
    pages = {
        "Models": "/",
        "Models by score": "/?sort=score",
        "Model": f"/models/{name}",
        "Models by a word": "/?q=feed",
        "About": f"/models/{name}/about",
        "Versions": f"/models/{name}/versions",
        "Lineage": f"/models/{name}/lineage",
        "Ask": f"/models/{name}/ask",
        "Call": f"/models/{name}/call",
        "Operation": f"/models/{name}/operation",
        "Documents": f"/models/{name}/documents",
        "Operations": "/operations",
        "Data": "/data",
        "Data: a table": "/data/table_000",
    }
    figures: dict[str, dict[str, list[float]]] = {page: {each: [] for each in TARGETS} for page in pages}
    logging.disable(logging.WARNING)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/model-center", trust_env=False) as client:
        for page, path in pages.items():
            client.get(path)
            for _ in range(rounds):
                with client.stream("GET", path) as response:
                    figures[page]["first byte"].append(
                        response.elapsed.total_seconds() * 1000 if response.read() else 0
                    )
    if find_browser() is None:
        print("no Chromium on the path: no first paint", file=sys.stderr)
    else:
        with browsing(settings.home) as tab:
            tab.ask("Network.setCacheDisabled", cacheDisabled=True)
            for page, path in pages.items():
                for _ in range(rounds):
                    paint, loaded = opened(tab, f"http://127.0.0.1:{port}/model-center{path}")
                    figures[page]["first paint"].append(paint)
                    figures[page]["loaded"].append(loaded)
    server.should_exit = True
    table = [[page, *(percentile(values) for values in each.values())] for page, each in figures.items()]
    header = ["page", *(f"{each} p95 ms (target {target})" for each, target in TARGETS.items())]
    for line in text_table([[str(cell) for cell in row] for row in table], header):
        print(line)
    limits = list(TARGETS.values())
    return int(any(cell is not None and cell > limits[place] for row in table for place, cell in enumerate(row[1:])))


def opened(tab: Any, url: str) -> tuple[float, float]:
    """Open a page; return when it was painted first and when its last part was there, in milliseconds."""
    tab.open(url, 1400, 900)
    tab.until("performance.getEntriesByName('first-contentful-paint').length")
    tab.until("!document.querySelector('.htmx-request') && performance.now() > 250")
    script = """(() => { const nav = performance.getEntriesByType('navigation')[0];
        const ends = performance.getEntriesByType('resource').map((each) => each.responseEnd);
        return JSON.stringify([performance.getEntriesByName('first-contentful-paint')[0].startTime,
            Math.max(nav.loadEventEnd, ...ends)]); })()"""
    paint, loaded = json.loads(tab.run(script))
    return float(paint), float(loaded)


def percentile(values: list[float]) -> int | None:
    """Return the 95th percentile; None of nothing."""
    return round(statistics.quantiles(values, n=20)[-1]) if len(values) > 1 else None


if __name__ == "__main__":
    raise SystemExit(main())
