"""The table of the model benchmark from its cells: errors, paired intervals, geometric means, targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.comparison.bootstrap import resampled_scores
from pipelines.metrics import METRICS

Array = NDArray[np.float64]
RESAMPLES = 1_000
OURS = "ours"
TARGETS = {"autogluon": 0.99, "flaml": 0.98}
WORST = 1.01
BUDGET, MEGABYTES, MEMORY, ROW_MS, ROWS_MS = 1.05, 50.0, 0.75, 1.0, 30.0


@dataclass(frozen=True)
class Cell:
    """One system on one set with one seed: ``predictions`` (n,) or (n, classes), what was measured, and when."""

    set: str
    seed: int
    system: str
    metric: str
    truth: Array
    predictions: Array
    facts: Mapping[str, Any]
    drawn: bool


@dataclass(frozen=True)
class Error:
    """Mean error over the seeds, and the same under each resampling of the test rows."""

    mean: float
    resampled: Array
    seeds: tuple[int, ...]


def error(metric: str, score: Any) -> Any:
    """Turn a score into an error."""
    return METRICS[metric].error(-METRICS[metric].sign * score)


def errors(cells: Iterable[Cell]) -> dict[str, dict[str, Error]]:
    """Return the errors by set and system, over the seeds that all systems of the set have.

    All systems of a seed are judged on the same resampled rows. Where seeds share their test rows they share the
    resampling as well.
    """
    by_set: dict[str, dict[int, dict[str, Cell]]] = {}
    for cell in cells:
        by_set.setdefault(cell.set, {}).setdefault(cell.seed, {})[cell.system] = cell
    found: dict[str, dict[str, Error]] = {}
    for name, seeds in by_set.items():
        systems = list(dict.fromkeys(system for held in seeds.values() for system in held))
        common = [seed for seed, held in seeds.items() if set(held) == set(systems)]
        if not common:
            common = [max(seeds, key=lambda seed: len(seeds[seed]))]
            systems = list(seeds[common[0]])
        means: dict[str, list[float]] = {system: [] for system in systems}
        draws: dict[str, list[Array]] = {system: [] for system in systems}
        for seed in common:
            held = seeds[seed]
            first = held[systems[0]]
            predictions = {system: held[system].predictions for system in systems}
            again = resampled_scores(
                first.metric, first.truth, predictions, resamples=RESAMPLES, seed=seed if first.drawn else 0
            )
            for system in systems:
                alone = METRICS[first.metric].resampled(first.truth, predictions[system])
                score = alone.score(np.ones((1, len(first.truth))))
                means[system].append(float(error(first.metric, score[0])))
                draws[system].append(error(first.metric, again[system]))
        found[name] = {
            system: Error(float(np.mean(means[system])), np.mean(draws[system], axis=0), tuple(common))
            for system in systems
        }
    return found


def ratio(ours: Error, peer: Error) -> tuple[float, float, float]:
    """Return our error divided by a peer's, and its 95 % interval."""
    low, high = np.nanquantile(ours.resampled / peer.resampled, (0.025, 0.975))
    return ours.mean / peer.mean, float(low), float(high)


def verdict(low: float, high: float) -> str:
    """Say who is better, or that the difference is inside the noise."""
    return "win" if high < 1.0 else "loss" if low > 1.0 else "tie"


def print_tables(cells: list[Cell], budget: float) -> None:
    """Print the table of every set, the geometric means, and the targets."""
    found = errors(cells)
    facts: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        facts.setdefault((cell.set, cell.system), []).append(cell.facts)
    for name, of_set in found.items():
        seeds = next(iter(of_set.values())).seeds
        metric = next(cell.metric for cell in cells if cell.set == name)
        word = "1 - AUC" if metric == "roc_auc" else metric.replace("_", " ")
        print(f"\n{name}: {word}, {budget:g} s, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
        print(
            f"  {'system':<15}{'error':>10}  {'ours / it':<26}{'fit s':>7}{'all s':>7}{'peak MB':>9}{'size MB':>9}"
            f"{'pace':>6}{'1 row ms':>10}{'1,000 ms':>10}  what won"
        )
        for system in sorted(of_set, key=lambda system: of_set[system].mean):
            told = facts[name, system]
            against = ""
            if OURS in of_set and system != OURS:
                value, low, high = ratio(of_set[OURS], of_set[system])
                against = f"{value:.3f} [{low:.3f}, {high:.3f}] {verdict(low, high)}"
            kept = "" if all(entry.get("fresh", True) for entry in told) else f"  (kept from {told[0]['date']})"
            print(
                f"  {system:<15}{_short(of_set[system].mean):>10}  {against:<26}{_mean(told, 'fit_seconds'):>7.1f}"
                f"{_mean(told, 'process_seconds'):>7.1f}{_mean(told, 'peak_bytes') / 1e6:>9.0f}"
                f"{_mean(told, 'bytes') / 1e6:>9.1f}{_pace(told):>6}{_mean(told, 'row_ms'):>10.2f}"
                f"{_mean(told, 'rows_ms'):>10.1f}"
                f"  {told[0].get('winner', '')[:70]}{kept}"
            )
    _print_means(found)
    _print_targets(found, facts, budget)


def _print_means(found: dict[str, dict[str, Error]]) -> None:
    peers = list(dict.fromkeys(system for of_set in found.values() for system in of_set if system != OURS))
    print("\ngeometric mean of ours / it over the sets")
    for peer in peers:
        both = [of_set for of_set in found.values() if OURS in of_set and peer in of_set]
        if not both:
            continue
        ratios = [of_set[OURS].mean / of_set[peer].mean for of_set in both]
        logs = [np.log(of_set[OURS].resampled / of_set[peer].resampled) for of_set in both]
        low, high = np.exp(np.nanquantile(np.mean(logs, axis=0), (0.025, 0.975)))
        target = f", target {TARGETS[peer]}" if peer in TARGETS else ""
        words = [verdict(*ratio(of_set[OURS], of_set[peer])[1:]) for of_set in both]
        told = ", ".join(f"{words.count(word)} {word}" for word in ("win", "tie", "loss"))
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"  {peer:<15}{mean:.4f} [{low:.4f}, {high:.4f}] over {len(both)} sets: {told}{target}")


def _print_targets(
    found: dict[str, dict[str, Error]], facts: dict[tuple[str, str], list[Mapping[str, Any]]], budget: float
) -> None:
    ours = [entry for (_, system), told in facts.items() if system == OURS for entry in told]
    if not ours:
        return
    print("\ntargets")
    for peer in TARGETS:
        sure = [
            (ratio(of_set[OURS], of_set[peer])[1], name)
            for name, of_set in found.items()
            if OURS in of_set and peer in of_set
        ]
        if sure:
            low, name = max(sure)
            _told(f"worst set against {peer} (its lower bound, {name})", low, WORST)
    _told("tune and ensemble, seconds / budget, most", max(entry["budget_seconds"] for entry in ours) / budget, BUDGET)
    _told("model, MB, most", max(entry["bytes"] for entry in ours) / 1e6, MEGABYTES)
    _told("1 row, ms, most", max(entry["row_ms"] for entry in ours), ROW_MS)
    _told("1,000 rows, ms, most", max(entry["rows_ms"] for entry in ours), ROWS_MS)
    shares = [
        (_mean(told, "peak_bytes") / _mean(facts[name, "autogluon"], "peak_bytes"), name)
        for (name, system), told in facts.items()
        if system == OURS and (name, "autogluon") in facts
    ]
    if shares:
        _told(f"peak memory / AutoGluon's, most ({max(shares)[1]})", max(shares)[0], MEMORY)


def _told(what: str, value: float, most: float) -> None:
    print(f"  {what:<60}{value:>9.3f}  target {most:g}  {'met' if value <= most else 'missed'}")


def _mean(told: list[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([entry[name] for entry in told]))


def _pace(told: list[Mapping[str, Any]]) -> str:
    known = [entry["pace"] for entry in told if "pace" in entry]
    return f"{np.mean(known):.1f}" if known else "?"


def _short(value: float) -> str:
    return f"{value:,.1f}" if value >= 10 else f"{value:.4f}"
