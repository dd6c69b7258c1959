"""What a search leaves behind: the table of trials, the summary, the next night's warm start."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pyarrow as pa

from pipelines.artifacts import canonical_json
from pipelines.errors import SpecError
from pipelines.metrics import METRICS
from pipelines.tuning.budget import Budget, too_small
from pipelines.tuning.spec import TuneSpec
from pipelines.tuning.study import Study
from pipelines.tuning.trial_manager import Conductor, best_first
from pipelines.tuning.trials import TrialOutcome

LEAST_SUCCESS = 0.5
"""Share of trials that must end well; fewer, and the search itself is at fault."""
WARM = 6
"""Configurations that the next night begins with."""
UNTRIED = "not tried: the budget was spent before its turn"


def check(outcomes: list[TrialOutcome], budget: Budget | None = None) -> list[TrialOutcome]:
    """Return the finished trials, best first; equal scores keep their order.

    Raises
    ------
    SpecError
        If the search failed; says the smallest budget that works if nothing but the time was at fault.
    """
    done = best_first(outcomes)
    cut = [outcome for outcome in outcomes if outcome.result.state == "cut"]
    if budget is not None and budget.timed and not done and len(cut) == len(outcomes):
        needed = [outcome.result.needs or 2.0 * outcome.result.seconds for outcome in cut]
        raise too_small(budget, budget.smallest(min(needed, default=2.0)))
    well = sum(outcome.result.state != "failed" for outcome in outcomes)
    if not done or well < LEAST_SUCCESS * len(outcomes):
        bad = [outcome for outcome in outcomes if outcome.result.state in ("failed", "cut")]
        raise SpecError(
            "the search failed: too few trials ended well",
            where="tune",
            seen=f"{len(done)} of {len(outcomes)} trials finished",
            expected=f"at least one, and no more than {1 - LEAST_SUCCESS:.0%} failures",
            cure="leave the families that fail out of TuneSpec.families, or give budget_seconds more time",
            faults=[f"trial {o.proposal.number + 1} {o.proposal.family}: {o.result.error}" for o in bad],
        )
    return done


def summary(
    outcomes: list[TrialOutcome],
    done: list[TrialOutcome],
    spec: TuneSpec,
    study: Study,
    conductor: Conductor,
    runner: str,
    metric: str,
) -> dict[str, Any]:
    """Return the content of ``search.json``: who won, who was left out, what ran where and how fast."""
    best = done[0]
    return {
        "metric": metric,
        "strategy": spec.strategy,
        "pruning": spec.pruning,
        "budget": {"trials": spec.trials} if spec.trials else {"seconds": spec.budget_seconds},
        "best": {
            "number": best.proposal.number,
            "family": best.proposal.family,
            "score": -METRICS[metric].sign * best.result.loss,
        },
        "left_out": [
            {"number": o.proposal.number, "family": o.proposal.family, "why": o.result.error}
            for o in outcomes
            if o.result.state in ("failed", "cut")
        ],
        "dropped": study.allocation.dropped | (dict.fromkeys(study.untried, UNTRIED) if spec.trials is None else {}),
        "keep": [outcome.proposal.number for outcome in done[: spec.keep]],
        "runner": runner,
        "devices": dict(sorted(Counter(outcome.result.device for outcome in outcomes).items())),
        "states": dict(sorted(Counter(outcome.result.state for outcome in outcomes).items())),
        "resumed": conductor.resumed,
        "speed": conductor.speed(),
    }


def warm_starts(done: list[TrialOutcome], keep: int, turn: float, *, timed: bool) -> list[dict[str, Any]]:
    """Return what the next night may begin with: first the best, those of several families among them, then the others.

    Parameters
    ----------
    done
        Finished trials, best first.
    keep
        How many of them an ensemble may be made of.
    turn
        1 or -1, so that ``turn`` times the loss is the metric.
    timed
        Whether to tell the seconds of each, too: what depends on the clock stays out of a search that does not.
    """
    firsts = {outcome.proposal.family: outcome for outcome in reversed(done)}
    heads = sorted(firsts.values(), key=done.index)[: WARM // 2]
    others = [outcome for outcome in done if outcome not in heads]
    first = sorted([*heads, *others[: WARM - len(heads)]], key=done.index)
    return [
        {
            "number": outcome.proposal.number,
            "family": outcome.proposal.family,
            "params": outcome.proposal.params,
            "score": turn * outcome.result.loss,
            **({"seconds": round(outcome.result.seconds, 1)} if timed else {}),
        }
        for outcome in (*first, *(outcome for outcome in done[:keep] if outcome not in first))
    ]


def trials_table(outcomes: list[TrialOutcome], metric: str) -> pa.Table:
    """Return one row per trial; ``score`` is in the metric's own direction."""
    turn = -METRICS[metric].sign
    rows = [
        {
            "number": outcome.proposal.number,
            "family": outcome.proposal.family,
            "params": canonical_json(outcome.proposal.params),
            "score": turn * outcome.result.loss,
            "fit_seconds": outcome.result.fit_seconds,
            "seconds": outcome.result.seconds,
            "state": outcome.result.state,
            "error": outcome.result.error,
            "learned": canonical_json(list(outcome.result.learned)),
            "origin": outcome.proposal.origin,
            "device": outcome.result.device,
            "size": outcome.result.size,
            "folds": canonical_json([turn * x if math.isfinite(x) else None for x in outcome.result.fold_losses]),
        }
        for outcome in outcomes
    ]
    schema = pa.schema(
        [
            ("number", pa.int64()),
            ("family", pa.string()),
            ("params", pa.string()),
            ("score", pa.float64()),
            ("fit_seconds", pa.float64()),
            ("seconds", pa.float64()),
            ("state", pa.string()),
            ("error", pa.string()),
            ("learned", pa.string()),
            ("origin", pa.string()),
            ("device", pa.string()),
            ("size", pa.int64()),
            ("folds", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)
