"""How fast the search is: trials per minute and what a trial costs besides itself, on one of the benchmark's tables.

    make bench-search                                              # adult, 60 s for each runner
    python benchmarks/search.py --sets telco --trials 40 --param families=lightgbm,linear --param strategy=random

``overhead`` is what passes between handing a trial out and having its result, less the trial itself: Ray's part, or
the pool's. The search is given its time whole: no ensemble follows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models_sets import write_set

from pipelines.artifacts import Artifact, Night, Ref
from pipelines.cleaning import stage as cleaning
from pipelines.cleaning.spec import CleanSpec
from pipelines.features import stage as featuring
from pipelines.features.spec import FeatureSpec
from pipelines.ingestion import stage as ingesting
from pipelines.ingestion.spec import IngestSpec
from pipelines.sampling import stage as sampling
from pipelines.sampling.spec import SampleSpec
from pipelines.settings import Settings, load
from pipelines.spec import ModelSpec, overlay
from pipelines.splitting import stage as splitting
from pipelines.splitting.spec import SplitSpec
from pipelines.storage import dataset
from pipelines.tuning import stage as tuning
from pipelines.tuning.spec import TuneSpec

DATA = Path(__file__).parents[2] / "shared" / "data"
RUNNERS = ("ray", "pool")
OVERHEAD = 0.5


def main() -> int:
    """Search with each runner and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="adult")
    parser.add_argument("--runners", default=",".join(RUNNERS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--trials", type=int, help="instead of seconds")
    parser.add_argument("--param", action="append", default=[], metavar="field=value", help="one field of TuneSpec")
    parser.add_argument("--folds", type=int, default=SplitSpec().folds)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, help="keep tables and searches here (default: a temporary folder)")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="aimass-search-"))
    spec = overlay(TuneSpec(budget_seconds=given.seconds, trials=given.trials), dict(map(field, given.param)))
    try:
        print(
            f"{'set':<12}{'runner':<8}{'trials':>7}{'done':>6}{'seconds':>9}{'per minute':>12}{'overhead s':>12}"
            f"{'best':>10}  by family"
        )
        for name in given.sets.split(","):
            night, settings, features = prepared(name, given.data, work / name, given.folds)
            for runner in given.runners.split(","):
                print(line(name, runner, searched(spec, night, settings, features, work / name / runner, runner)))
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    print(f"(target: overhead of a trial with Ray, actors reused: at most {OVERHEAD} s)")
    return 0


def field(pair: str) -> tuple[str, Any]:
    """Read ``name=value``; a list is written with commas, other values as JSON or text."""
    name, _, text = pair.partition("=")
    if name == "families":
        return name, tuple(text.split(","))
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def prepared(name: str, data: Path, work: Path, folds: int) -> tuple[Night, Settings, Artifact]:
    """Take a set's training rows through the stages up to features."""
    meta = write_set(name, data, 0, work / "set")
    model = ModelSpec(
        name=name,
        task=meta["task"],
        target=meta["target"],
        positive=meta["positive"],
        time=meta["time"],
        metric=meta["metric"],
    )
    night = Night(model=model, night="bench", as_of=datetime.now(UTC))
    settings = load(home=work / "home", dags_folder=work / "home" / "dags").ensure()

    def staged(stage: Any, spec: Any, **inputs: Artifact) -> Artifact:
        folder = work / stage.__name__
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stage.run(spec, night=night, settings=settings, out=folder, **inputs)
        return Artifact(ref=Ref(uri=stage.__name__, digest="", stage=stage.__name__), path=folder)

    ingest = IngestSpec(source=str(work / "set" / "train.csv"))
    sampled = staged(sampling, SampleSpec(), raw=staged(ingesting, ingest))
    cleaned = staged(cleaning, CleanSpec(), sampled=sampled)
    split = staged(splitting, SplitSpec(folds=folds), cleaned=cleaned)
    return night, settings, staged(featuring, FeatureSpec(), split=split, cleaned=cleaned)


def searched(
    spec: TuneSpec, night: Night, settings: Settings, features: Artifact, out: Path, runner: str
) -> dict[str, Any]:
    """Search; give ``search.json`` with the seconds, the trials, and the state and family of each."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for left in settings.staging.glob("search-*"):
        shutil.rmtree(left)
    started = time.monotonic()
    with without_ray(runner == "pool"):
        tuning.run(spec, night=night, settings=settings, out=out, features=features)
    facts: dict[str, Any] = json.loads((out / "search.json").read_text())
    trials = dataset(out / "trials").to_table().to_pylist()
    return {**facts, "seconds": time.monotonic() - started, "trials": trials}


@contextmanager
def without_ray(refused: bool) -> Iterator[None]:
    """Let Ray be unable to start: an address where nobody is."""
    if not refused:
        yield
        return

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the benchmark asks for the pool")

    before = tuning.ray_session
    tuning.ray_session = refuse
    try:
        yield
    finally:
        tuning.ray_session = before


def line(name: str, runner: str, facts: dict[str, Any]) -> str:
    """Return the line of a search."""
    trials = facts["trials"]
    speed = facts.get("speed", {})
    families: dict[str, list[float]] = {}
    for trial in trials:
        families.setdefault(trial["family"], []).append(trial["seconds"])
    by = ", ".join(f"{family} {len(spent)} × {sum(spent) / len(spent):.1f} s" for family, spent in families.items())
    done = sum(trial["state"] == "done" for trial in trials)
    rate, overhead = speed.get("trials_per_minute"), speed.get("overhead_seconds")
    return (
        f"{name:<12}{runner:<8}{len(trials):>7}{done:>6}{facts['seconds']:>9.1f}{rate or float('nan'):>12.1f}"
        f"{overhead if overhead is not None else float('nan'):>12.3f}{facts['best']['score']:>10.5g}  {by}"
    )


if __name__ == "__main__":
    os.environ.setdefault("AIMASS_MEMORY_GB", "8")
    sys.exit(main())
