"""Ten nights of real flights: how soon a search that knows last night's reaches what a cold one comes to.

    make bench-nights                      # 10 nights from 2013-09-01, 120 s a search
    make bench-nights ARGS="--nights 3 --budget 60"

Each night is run with ``dags/retrain_flight_delays.py`` as it stands, in a home where the nights before it are known.
Then the same features of the same night are searched cold, with the same settings and seed but no warm start. Both
searches have the machine for themselves, one after the other. The clock of a search begins with its stage and
includes Ray's start.

A search is as good as what would be made of its trials: the honest out-of-fold error, 1 - AUC, of the combination that
the ensemble would choose of those that had ended by then. ``share`` is the seconds until the warm search's combination
is as good as that of the whole cold search, divided by all seconds of the cold search, that is until its last trial
has ended: ``tie`` when it is no longer worse than noise allows (the 95 % interval of DeLong's paired difference on the
same rows holds 0), ``near`` within a thousandth of the error, ``as good`` to the last digit. ``one trial`` asks when
the warm search had a single trial as good as the best of the cold one's: the best of some tens of trials is mostly
luck, and the next night has other luck. ``itself`` is the share of its seconds after which the cold search had come to
``near`` its own end. The first night has no night before it and is left out of the medians.
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

from pipelines.algorithms.base import Array
from pipelines.algorithms.training_data import Columns, load_columns
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.ensembling.candidates.candidates import load_candidates
from pipelines.ensembling.combination.selection import choose
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.evaluation.comparison.compare import compare
from pipelines.ledger import Ledger
from pipelines.metrics import METRICS
from pipelines.settings import Settings, load
from pipelines.spec import ModelSpec
from pipelines.tuning.spec import TuneSpec

TARGET = 0.25
NEAR = EnsembleSpec().max_loss
QUICK = ("evaluate__plots=false", "evaluate__explain_rows=0", "deploy__stop_before=true")
"""What follows the search is not what is timed."""


class Found(NamedTuple):
    """What a search had: seconds since its start, and the error."""

    spent: float
    error: float


class Searched(NamedTuple):
    """The trials of a search that ended well, the combinations of those that had ended by then, and all its seconds."""

    trials: list[Found]
    combined: list[Found]
    predictions: list[Array]
    seconds: float


def main() -> int:
    """Run the nights and print a line for each, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the five tables")
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2013, 9, 1), help="date of the first night")
    parser.add_argument("--budget", type=float, default=120, help="seconds of tune and ensemble")
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
        f"{'night':<12}{'cold error':>11}{'in':>7}{'warm error':>12}"
        f"{'tie':>9}{'near':>9}{'as good':>9}{'one':>9}  share: tie, near, as good, one trial, itself; trials cold/warm"
    )
    shares: list[tuple[float, ...]] = []
    gains: list[float] = []
    for offset in range(given.nights):
        at = given.first + timedelta(days=offset)
        pairs = ("sample__max_rows=" + str(given.rows), *QUICK)
        done = run(home, at, "--budget-seconds", str(given.budget), *(f"--param={pair}" for pair in pairs))
        if done.code:
            raise SystemExit(f"night of {at} failed with {done.code}:\n{done.output[-3000:]}")
        columns = load_columns(stage_folder(settings, at, "features"), model_of(settings))
        warm, known = of_night(settings, at, columns)
        cold = search_cold(settings, at, home / "cold", columns)
        goal, last = cold.combined[-1].error, cold.seconds
        tied = [
            found._replace(error=goal if tie(columns, predicted, cold.predictions[-1]) else math.inf)
            for found, predicted in zip(warm.combined, warm.predictions, strict=True)
        ]
        seconds = (
            reached(tied, goal),
            reached(warm.combined, goal * (1 + NEAR)),
            reached(warm.combined, goal),
            reached(warm.trials, min(found.error for found in cold.trials)),
            reached(cold.combined, goal * (1 + NEAR)),
        )
        gains.append(goal - warm.combined[-1].error)
        if known:
            shares.append(tuple(value / last for value in seconds))
        reach = "".join(f"{value:>7.0f} s" for value in seconds[:-1])
        told = ", ".join(f"{value / last:.2f}" for value in seconds)
        print(
            f"{at.isoformat():<12}{goal:>11.5f}{last:>5.0f} s{warm.combined[-1].error:>12.5f}{reach}"
            f"  {told}; {len(cold.trials)}/{len(warm.trials)}"
            f"{'' if known else ' (no night before)'}",
            flush=True,
        )
    if shares:
        tied_at, near, good, one, itself = (statistics.median(values) for values in zip(*shares, strict=True))
        print(
            f"median share of {len(shares)} warm nights: tie {tied_at:.2f}, near {near:.2f}, as good {good:.2f}, "
            f"one trial {one:.2f} (target {TARGET}), itself {itself:.2f}; "
            f"the warm search ends better by {statistics.mean(gains):.5f} on average"
        )


def tie(columns: Columns, one: Array, other: Array) -> bool:
    """Tell whether the first predictions for the held-out rows are no worse than the others, beyond noise."""
    found = compare(
        columns.shape.metric,
        columns.y[columns.held_out],
        one,
        {"other": other},
        confidence=0.975,
        resamples=1000,
        seed=0,
    )["other"]
    return found is not None and found.upper >= 0.0


def reached(found: list[Found], goal: float) -> float:
    """Return the seconds after which a search was as good as that; infinite if it never was."""
    return next((one.spent for one in found if one.error <= goal), math.inf)


def of_night(settings: Settings, at: date, columns: Columns) -> tuple[Searched, bool]:
    """Return what the search of a night found, and whether it began with an earlier night's best."""
    folder = stage_folder(settings, at, "tune")
    facts = json.loads((folder / "search.json").read_text())
    return searched(folder, columns), bool(facts.get("warm_start"))


def model_of(settings: Settings) -> ModelSpec:
    """Return the model as the ledger knows it."""
    with Ledger.open(settings) as ledger:
        return ModelSpec(**ledger.model(MODEL).spec)


def stage_folder(settings: Settings, at: date, stage: str) -> Path:
    """Return the output of a stage of the night of a date."""
    row = stage_row(settings, at, stage)[1]
    return Path(settings.storage / row.ref["uri"])


def stage_row(settings: Settings, at: date, stage: str) -> tuple[Any, Any]:
    """Return the ledger's rows of a night and of one of its stages."""
    with Ledger.open(settings) as ledger:
        moment = datetime(at.year, at.month, at.day, 2, tzinfo=UTC)
        night = next(row for row in reversed(ledger.nights(MODEL)) if row.as_of == moment)
        return night, next(row for row in ledger.stages(MODEL, night.night) if row.stage == stage)


def searched(folder: Path, columns: Columns) -> Searched:
    """Read a search's journal, and combine after each trial those that had ended well."""
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()[1:]]
    done = [line for line in lines if line["answer"]["state"] == "done"]
    metric, held = columns.shape.metric, columns.held_out
    trials = [Found(float(line["spent"]), METRICS[metric].error(float(line["answer"]["loss"]))) for line in done]
    candidates, _ = load_candidates(folder, columns)
    ended: set[int] = set()
    combined: list[Found] = []
    combinations: list[Array] = []
    for line in done:
        ended.add(int(line["number"]))
        predictions = [candidate.oof[held] for candidate in candidates if candidate.number in ended]
        if predictions:
            choice = choose(
                predictions, columns.y[held], columns.w[held], columns.fold[held], metric, EnsembleSpec(pick="best")
            )
            combined.append(Found(float(line["spent"]), METRICS[metric].error(min(choice.losses.values()))))
            combinations.append(choice.oof)
    return Searched(trials, combined, combinations, max(float(line["spent"]) for line in lines))


def search_cold(settings: Settings, at: date, work: Path, columns: Columns) -> Searched:
    """Search the features of a night without knowing the nights before, in a process of its own."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _, features = stage_row(settings, at, "features")
    _, tune = stage_row(settings, at, "tune")
    model = model_of(settings).model_dump(mode="json")
    spec = {**tune.spec, "warm_start": False}
    request = {"home": str(settings.home), "features": features.ref, "spec": spec, "model": model, "at": at.isoformat()}
    (work / "request.json").write_text(json.dumps(request))
    done = measure([sys.executable, __file__, "--cold", str(work)], log=work / "log")
    if done.code:
        raise SystemExit(f"the cold search of {at} failed:\n{done.output[-3000:]}")
    return searched(work / "out", columns)


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
        TuneSpec(**request["spec"]),
        night=night,
        settings=settings,
        out=work / "out",
        features=Artifact(ref=ref, path=settings.storage / ref.uri),
    )
    return 0


if __name__ == "__main__":
    sys.exit(cold(Path(sys.argv[2])) if sys.argv[1:2] == ["--cold"] else main())
