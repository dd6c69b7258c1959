"""Ten nights of real flights: how soon a search that knows last night's reaches what a cold one comes to.

    make bench-nights                      # 10 nights from 2013-09-01, 60 s a search
    make bench-nights ARGS="--nights 3 --budget 30"

Each night is run with ``dags/retrain_flight_delays.py`` as it stands, in a home where the nights before it are known.
Then the same features of the same night are searched cold, with the same settings and seed but no warm start. Both
searches have the machine for themselves, one after the other. The clock of a search begins with its stage and
includes Ray's start.

``share``: the seconds until the warm search had a trial at least as good, out of fold, as the best that the cold
search ever found, divided by all seconds of the cold search; ``strict``: divided by the seconds in which the cold one
found its best. The first night has no night before it and is left out of the medians.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from measure import measure
from replay import DATA, MODEL, feed, run

from pipelines.artifacts import Artifact, Night, Ref
from pipelines.ledger import Ledger
from pipelines.settings import Settings, load
from pipelines.spec import ModelSpec
from pipelines.tuning.spec import TuneSpec

TARGET = 0.25
QUICK = ("evaluate__plots=false", "evaluate__explain_rows=0", "deploy__stop_before=true")
"""What follows the search is not what is timed."""


class Found(NamedTuple):
    """A trial that ended well: seconds since the search's start, and its loss."""

    spent: float
    loss: float


def main() -> int:
    """Run the nights and print a line for each, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the five tables")
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2013, 9, 1), help="date of the first night")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tune and ensemble")
    parser.add_argument("--rows", type=int, default=20_000, help="rows that each of the nights learns from")
    parser.add_argument("--keep", type=Path, help="home to work in and keep (default: a temporary one)")
    given = parser.parse_args()
    home = given.keep or Path(tempfile.mkdtemp(prefix="aimass-nights-"))
    try:
        if not (home / "feed").exists():
            feed(given.data, home / "feed" / "flights")
        replay(home, given)
    finally:
        if given.keep is None:
            shutil.rmtree(home, ignore_errors=True)
    return 0


def replay(home: Path, given: argparse.Namespace) -> None:
    """Run every night warm, and search it cold."""
    settings = load(home=home)
    print(
        f"{'night':<12}{'cold best':>11}{'found in':>10}{'of':>7}{'warm best':>11}{'as good in':>12}{'share':>8}"
        f"{'strict':>8}  trials cold/warm"
    )
    shares: list[tuple[float, float]] = []
    gains: list[float] = []
    for offset in range(given.nights):
        at = given.first + timedelta(days=offset)
        pairs = ("sample__max_rows=" + str(given.rows), *QUICK)
        done = run(home, at, "--budget-seconds", str(given.budget), *(f"--param={pair}" for pair in pairs))
        if done.code:
            raise SystemExit(f"night of {at} failed with {done.code}:\n{done.output[-3000:]}")
        warm, known = of_night(settings, at)
        cold = search_cold(settings, at, home / "cold")
        best = min(cold, key=lambda found: found.loss)
        reached = next((found.spent for found in warm if found.loss <= best.loss), math.inf)
        last = cold[-1].spent
        gains.append(best.loss - min(found.loss for found in warm))
        if known:
            shares.append((reached / last, reached / best.spent))
        print(
            f"{at.isoformat():<12}{best.loss:>11.5f}{best.spent:>8.1f} s{last:>5.0f} s"
            f"{min(found.loss for found in warm):>11.5f}{reached:>10.1f} s{reached / last:>8.2f}"
            f"{reached / best.spent:>8.2f}  {len(cold)}/{len(warm)}{'' if known else '  (no night before)'}",
            flush=True,
        )
    if shares:
        share, strict = (statistics.median(values) for values in zip(*shares, strict=True))
        never = sum(math.isinf(value) for value, _ in shares)
        print(
            f"median of {len(shares)} warm nights: {share:.2f} (target {TARGET}), strict {strict:.2f}; "
            f"{never} never reached the cold search's best; warm is better by {statistics.mean(gains):.5f} on average"
        )


def of_night(settings: Settings, at: date) -> tuple[list[Found], bool]:
    """Give what the search of a night found, and whether it began with an earlier night's best."""
    folder = stage_folder(settings, at, "tune")
    facts = json.loads((folder / "search.json").read_text())
    return curve(folder), bool(facts.get("warm_start"))


def stage_folder(settings: Settings, at: date, stage: str) -> Path:
    """Give the output of a stage of the night of a date."""
    row = stage_row(settings, at, stage)[1]
    return Path(settings.storage / row.ref["uri"])


def stage_row(settings: Settings, at: date, stage: str) -> tuple[Any, Any]:
    """Give the ledger's rows of a night and of one of its stages."""
    ledger = Ledger.open(settings)
    try:
        moment = datetime(at.year, at.month, at.day, 2, tzinfo=UTC)
        night = next(row for row in reversed(ledger.nights(MODEL)) if row.as_of == moment)
        return night, next(row for row in ledger.stages(MODEL, night.night) if row.stage == stage)
    finally:
        ledger.close()


def curve(folder: Path) -> list[Found]:
    """Read the trials that ended well from a search's journal, in the order they ended."""
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()[1:]]
    return [
        Found(float(line["spent"]), float(line["answer"]["loss"]))
        for line in lines
        if line["answer"]["state"] == "done" and line["answer"]["loss"] is not None
    ]


def search_cold(settings: Settings, at: date, work: Path) -> list[Found]:
    """Search the features of a night without knowing the nights before, in a process of its own."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _, features = stage_row(settings, at, "features")
    _, tune = stage_row(settings, at, "tune")
    ledger = Ledger.open(settings)
    try:
        model = ledger.model(MODEL).spec
    finally:
        ledger.close()
    spec = {**tune.spec, "warm_start": False}
    request = {"home": str(settings.home), "features": features.ref, "spec": spec, "model": model, "at": at.isoformat()}
    (work / "request.json").write_text(json.dumps(request))
    done = measure([sys.executable, __file__, "--cold", str(work)], log=work / "log")
    if done.code:
        raise SystemExit(f"the cold search of {at} failed:\n{done.output[-3000:]}")
    return curve(work / "out")


def cold(work: Path) -> int:
    """Be the process that searches cold."""
    from pipelines.tuning import stage

    request = json.loads((work / "request.json").read_text())
    settings = load(home=Path(request["home"]))
    model = ModelSpec(**request["model"])
    day = date.fromisoformat(request["at"])
    night = Night(model=model, night="cold", as_of=datetime(day.year, day.month, day.day, 2, tzinfo=UTC))
    ref = Ref(**request["features"])
    (work / "out").mkdir()
    stage.run(
        TuneSpec(**request["spec"]), night=night, settings=settings, out=work / "out",
        features=Artifact(ref=ref, path=settings.storage / ref.uri),
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(cold(Path(sys.argv[2])) if sys.argv[1:2] == ["--cold"] else main())
