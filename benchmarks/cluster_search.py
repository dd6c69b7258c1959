"""A sweep on two Ray nodes of one core beside the same sweep on one node of two cores: `cluster.py --only search`.

    python benchmarks/cluster_search.py                # as root: the nodes are network namespaces of this machine
    python benchmarks/cluster_search.py --trials 8 --set adult

Every sweep has the same trials; `overhead` is what passes between handing a trial out and having its result, less the
trial itself. The driver is a process of its own that joins the cluster, as a stage does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "benchmarks")]
SLOWER, OVERHEAD = 1.15, 0.1


def search_table(work: Path, _rows: int = 0, trials: int = 32, name: str = "telco", runs: int = 1) -> Iterator[str]:
    """Yield a table of the sweeps, with the targets."""
    from hosts import hosts, start_ray, why_not

    if why_not():
        yield f"sweep on a Ray cluster: not measured, {why_not()}"
        return
    layouts = {"one node of 2 cores": (1, 2), "two nodes of 1 core": (2, 1)}
    found: dict[str, list[dict[str, Any]]] = {label: [] for label in layouts}
    for _ in range(runs):
        for label, (nodes, cores) in layouts.items():
            token = token_hex(32)
            with hosts(1 + nodes) as made:
                address = start_ray(made[0], made[1:], token, cores)
                found[label].append(driven(work, name, trials, address, token, nodes * cores))
    yield from table(found, trials)


def driven(work: Path, name: str, trials: int, address: str, token: str, cores: int) -> dict[str, Any]:
    """Run one sweep in a process of its own; return its facts."""
    path = work / "token"
    path.write_text(token)
    path.chmod(0o600)
    out = work / "facts.json"
    words = [sys.executable, __file__, "--drive", str(out), "--set", name, "--trials", str(trials), "--work", str(work)]
    environment = {**os.environ, "AIMASS_RAY_ADDRESS": address, "AIMASS_RAY_TOKEN": str(path)}
    subprocess.run([*words, "--cores", str(cores)], env=environment, check=True)
    facts: dict[str, Any] = json.loads(out.read_text())
    return facts


def drive(out: Path, name: str, trials: int, work: Path, cores: int) -> None:
    """Wait for the cores of the cluster, search on them and write down how it went."""
    from search import DATA, prepared, searched

    from pipelines.ray_cluster import ray_cluster
    from pipelines.splitting.spec import SplitSpec
    from pipelines.tuning.spec import TuneSpec

    night, settings, features = prepared(name, DATA, work / name, SplitSpec().folds)
    until = time.monotonic() + 60.0
    while True:
        with ray_cluster(settings) as ray:
            if ray.cluster_resources().get("CPU", 0.0) >= cores:
                break
        if time.monotonic() > until:
            raise SystemExit("the nodes have not joined within a minute")
    facts = searched(TuneSpec(trials=trials), night, settings, features, work / name / "search", "ray")
    kept = {key: facts[key] for key in ("seconds", "speed", "best", "runner", "states")}
    span = trials * 60.0 / facts["speed"]["trials_per_minute"]
    out.write_text(json.dumps({**kept, "span": span}))


def table(found: dict[str, list[dict[str, Any]]], trials: int) -> Iterator[str]:
    """Yield a line for each layout, and the ratio beside the targets."""
    yield f"{'sweep on Ray':<22}{'trials':>7}{'seconds':>9}{'trials alone':>14}{'overhead s':>12}{'best':>10}"
    best = {label: min(facts, key=lambda fact: float(fact["span"])) for label, facts in found.items()}
    for label, fact in best.items():
        yield (
            f"{label:<22}{trials:>7}{fact['seconds']:>9.1f}{fact['span']:>14.1f}"
            f"{fact['speed']['overhead_seconds']:>12.3f}{fact['best']['score']:>10.5g}"
        )
    one, two = best.values()
    ratio, overhead = two["span"] / one["span"], max(fact["speed"]["overhead_seconds"] for fact in best.values())
    yield f"two nodes / one node: {ratio:.3f} (at most {SLOWER}); overhead {overhead:.3f} s (at most {OVERHEAD} s)"
    yield f"the same winner: {'yes' if one['best'] == two['best'] else 'NO'}"


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="telco")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--runs", type=int, default=1, help="of each layout in turn; the quickest counts")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive is not None:
        drive(given.drive, given.set, given.trials, given.work, given.cores)
        return 0
    with tempfile.TemporaryDirectory(prefix="aimass-cluster-") as folder:
        for line in search_table(Path(folder), 0, given.trials, given.set, given.runs):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
