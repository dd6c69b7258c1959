"""Many live versions on one machine: the memory of their services, and how long each takes to start.

    make bench-live-versions
    make bench-live-versions ARGS="--versions 20 --only LightGBM"

Each version is a bento of its own, a copy of a night's on the table adult: its LightGBM, then its ensemble as it comes.
Shared pages count once (PSS). They are measured as they start, and again once each has predicted a thousand rows.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from serving import DATA, night, read_rows

from pipelines import settings as settings_module
from pipelines.deployment.serve import bento_command, find_bento, short_folder, stop_process, wait_ready
from pipelines.inference.service.client import ServiceClient
from pipelines.settings import Settings

MB = 1e6
NIGHTS = {"LightGBM": ["--param", 'tune__families=["lightgbm"]'], "ensemble": []}


def main() -> int:
    """Train each night, serve it many times, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--only", choices=NIGHTS)
    given = parser.parse_args()
    if not DATA.is_file():
        raise SystemExit("the data set adult is not beside this checkout")
    names = ("versions", "first start s", "median s", "slowest s", "one alone MB", "all MB", "after load MB")
    print(f"{'':<10}" + "".join(f"{name:>16}" for name in names), flush=True)
    with tempfile.TemporaryDirectory(prefix="aimass-live-") as folder:
        work = Path(folder)
        rows = read_rows(work)
        for name, more in NIGHTS.items():
            if given.only in (None, name):
                settings = settings_module.load(home=night(work, name, more))
                columns = {column: [row[column] for row in rows] for column in rows[0]}
                figures = measured(settings, given.versions, {"columns": columns, "rows": len(rows)})
                print(f"{name:<10}{given.versions:>16}" + "".join(f"{each:>16.2f}" for each in figures), flush=True)
    return 0


def measured(settings: Settings, versions: int, asked: object) -> list[float]:
    """Serve so many copies at once; return the columns of the table."""
    original = find_bento(settings, "adult", 1)
    folder = short_folder()
    children: list[subprocess.Popen[bytes]] = []
    seconds = []
    alone = 0.0
    try:
        for number in range(versions):
            model = f"adult{number}"
            shutil.copytree(original, original.parents[1] / model / original.name)
            command, environment = bento_command(settings, model, 1, folder / model)
            started = time.monotonic()
            log = folder / f"{model}.log"
            with log.open("wb") as stream:
                children.append(subprocess.Popen(command, env=environment, stderr=stream))
            wait_ready(f"unix:{folder / model}", children[-1], 60, log)
            seconds.append(time.monotonic() - started)
            alone = alone or psutil.Process(children[0].pid).memory_info().rss / MB
        before = shared_once(children)
        for number in range(versions):
            with ServiceClient(f"unix:{folder}/adult{number}", 60) as client:
                client.call("predict", asked)
        return [
            seconds[0], statistics.median(seconds), max(seconds), alone, before, shared_once(children)
        ]  # fmt: skip
    finally:
        for child in children:
            stop_process(child)
        shutil.rmtree(folder, ignore_errors=True)


def shared_once(children: list[subprocess.Popen[bytes]]) -> float:
    """Return the memory of processes in MB, a page that several share divided among them."""
    return sum(psutil.Process(child.pid).memory_full_info().pss for child in children) / MB


if __name__ == "__main__":
    sys.exit(main())
