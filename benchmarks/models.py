"""Six tables, the same rows and the same time for every system: this project, AutoGluon, FLAML, untuned LightGBM.

    make bench-models                                    # 3 seeds of 6 sets, 120 s each: hours
    make bench-models ARGS="--sets adult --systems ours,flaml --seeds 0 --budget 120"
    make bench-models ARGS="--assemble"                  # the table of all cells that have been run

A cell is one system on one set with one seed. The cells of the peers are kept below ``--work`` and not run twice, for
nothing in this project changes them; ours are run anew whenever they are asked for. ``fit s`` is what the budget is
for: the peer's ``fit``, our features, tune and ensemble; ``all s`` the whole command, reading, import and, for us,
every other stage of a night. ``peak`` is the memory of the process and its descendants, shared pages once. ``pace``
is how fast the machine was before and after the cell, in millions of additions a second. Our predictions come from
`aimass predict`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import models_ours
import numpy as np
import psutil
from measure import measure
from models_sets import SETS, write_set
from models_table import Cell, print_tables

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
ENVIRONMENT = {"autogluon": "autogluon", "flaml": "flaml", "flaml_ensemble": "flaml", "lightgbm": "flaml"}
SYSTEMS = ("ours", *ENVIRONMENT)
DRAWN = ("california", "dry_bean", "telco")
"""Sets whose test rows change with the seed."""
BUSY = 0.3
"""Cores that others may keep busy before a cell begins without its being told."""
ADDITIONS = 5_000_000
STARTED = datetime.now(UTC)


def main() -> int:
    """Run the cells that were asked for, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--budget", type=float, default=120, help="seconds")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the data sets")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench-models", help="where sets and cells are kept")
    parser.add_argument("--param", action="append", default=[], metavar="stage__field=v", help="one setting of ours")
    parser.add_argument("--fresh", action="store_true", help="run the peers' cells again")
    parser.add_argument("--assemble", action="store_true", help="run nothing; print the table of all cells")
    given = parser.parse_args()
    sets, systems = chosen(given.sets, tuple(SETS)), chosen(given.systems, SYSTEMS)
    seeds = [int(seed) for seed in given.seeds.split(",")]
    if not given.assemble:
        wanted = [(name, seed, system) for name in sets for seed in seeds for system in systems]
        for index, (name, seed, system) in enumerate(wanted):
            print(f"[{index + 1}/{len(wanted)}] {name}, seed {seed}, {system}: ", end="", flush=True)
            print(run(name, seed, system, given), flush=True)
    cells = [cell for name in sets for seed in seeds for system in systems if (cell := load(name, seed, system, given))]
    if not cells:
        print("no cells")
        return 1
    print_tables(cells, given.budget)
    return 0


def chosen(text: str, known: tuple[str, ...]) -> list[str]:
    """Split a list of names and refuse unknown ones."""
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def folder_of(name: str, seed: int, system: str, given: argparse.Namespace) -> Path:
    """Return the folder of a cell."""
    folder: Path = given.work / "cells" / f"{name}-{seed}-{system}-{given.budget:g}"
    return folder


def run(name: str, seed: int, system: str, given: argparse.Namespace) -> str:
    """Run a cell unless it is a peer's and there; return what is to be told of it."""
    source = given.work / "sets" / f"{name}-{seed if name in DRAWN else 0}"
    meta = write_set(name, given.data, seed if name in DRAWN else 0, source)
    out = folder_of(name, seed, system, given)
    if system != "ours" and (out / "cell.json").is_file() and not given.fresh:
        kept = json.loads((out / "cell.json").read_text())
        if kept.get("made_by") == made_by(system):
            return f"kept from {kept['date']}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    others = psutil.cpu_percent(interval=1.0) / 100 * (os.cpu_count() or 1)
    before = pace()
    try:
        if system == "ours":
            facts = models_ours.run(meta, source, out, given.budget, seed, given.param)
        else:
            facts = run_peer(system, source, out, given.budget, seed)
    except (SystemExit, OSError, ValueError, LookupError) as failure:
        return f"FAILED: {type(failure).__name__}: {failure}"
    date = datetime.now(UTC).isoformat(timespec="seconds")
    facts |= {
        "date": date,
        "made_by": made_by(system),
        "others_busy_cores": round(others, 2),
        "params": given.param,
        "pace": round((before + pace()) / 2, 1),
    }
    (out / "cell.json").write_text(json.dumps(facts, indent=1))
    busy = f", beside others on {others:.1f} cores" if others > BUSY else ""
    return f"fit {facts['fit_seconds']:.0f} s, all {facts['process_seconds']:.0f} s{busy}"


def pace() -> float:
    """Measure the machine: millions of additions a second in a plain loop. A shared one is slower at times."""
    began, total = time.perf_counter(), 0
    for number in range(ADDITIONS):
        total += number
    return ADDITIONS / (time.perf_counter() - began) / 1e6


def run_peer(system: str, source: Path, out: Path, budget: float, seed: int) -> dict[str, Any]:
    """Run a peer in its environment."""
    python = ROOT / f".bench-{ENVIRONMENT[system]}" / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"{python} does not exist; make bench-models builds it")
    script = Path(__file__).with_name("models_peer.py")
    command = [str(python), str(script), system, str(source), str(out), str(budget), str(seed)]
    log = out / "log"
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = measure(command, cwd=out, env=environment, log=log)
    if done.code:
        raise SystemExit(f"{done.code}, see {log}: {(done.output.strip().splitlines() or ['(nothing)'])[-1][:200]}")
    facts: dict[str, Any] = json.loads((out / "cell.json").read_text())
    return {**facts, "process_seconds": done.seconds, "peak_bytes": done.peak}


def made_by(system: str) -> str:
    """Return a digest of what made a cell: the peer's versions, or this project's code."""
    here = Path(__file__).parent
    if system in ENVIRONMENT:
        files = [here / f"models_{ENVIRONMENT[system]}.lock", here / "models_peer.py"]
    else:
        files = sorted((ROOT / "pipelines").rglob("*.py"))
    total = hashlib.sha256()
    for path in files:
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def load(name: str, seed: int, system: str, given: argparse.Namespace) -> Cell | None:
    """Read a cell back; None when it was never finished."""
    folder = folder_of(name, seed, system, given)
    if not (folder / "cell.json").is_file() or not (folder / "answers.npy").is_file():
        return None
    facts = json.loads((folder / "cell.json").read_text())
    source = given.work / "sets" / f"{name}-{seed if name in DRAWN else 0}"
    meta = json.loads((source / "meta.json").read_text())
    facts["fresh"] = datetime.fromisoformat(facts["date"]) >= STARTED.replace(microsecond=0)
    if facts.get("made_by") != made_by(system):
        facts["winner"] = f"(made by other code on {facts.get('date')}) {facts.get('winner', '')}"
    truth, predictions = (np.load(path, allow_pickle=False) for path in (source / "truth.npy", folder / "answers.npy"))
    if len(predictions) != len(truth) or not np.isfinite(predictions).all():
        raise SystemExit(f"{folder}: {len(predictions)} predictions for {len(truth)} rows, or some that are not finite")
    return Cell(name, seed, system, meta["metric"], truth, predictions, facts, name in DRAWN)


if __name__ == "__main__":
    sys.exit(main())
