"""Stage tune: feature columns → trials with their out-of-fold predictions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.algorithms.augment import Augmented
from pipelines.algorithms.base import Family
from pipelines.algorithms.catalogue import family
from pipelines.algorithms.metrics import sign
from pipelines.algorithms.table import load_columns
from pipelines.artifacts import Artifact, Night, canonical_json, write_atomic
from pipelines.artifacts import Outcome as StageOutcome
from pipelines.clusters import ray_session
from pipelines.errors import SpecError
from pipelines.settings import Settings
from pipelines.storage import write_table
from pipelines.tuning.budget import START_SECONDS, Budget
from pipelines.tuning.proposals import Study
from pipelines.tuning.spec import TuneSpec

if TYPE_CHECKING:
    from pipelines.tuning.search import Outcome

SPEC = TuneSpec
INPUTS = ("features",)
LEAST_SUCCESS = 0.5
"""Share of trials that must end well; fewer, and the search itself is at fault."""


def run(spec: TuneSpec, *, night: Night, settings: Settings, out: Path, features: Artifact) -> StageOutcome:
    """Search, keep the best trials' out-of-fold predictions and write the journal.

    Parameters
    ----------
    features
        ``train/`` and ``columns.json``.

    Raises
    ------
    SpecError
        If fewer than half of the trials end well; names each failure. If a regression is to be augmented.
    """
    if spec.augment != "none" and night.model.task == "regression":
        raise SpecError(
            "a regression has no classes to augment",
            where="TuneSpec.augment",
            seen=spec.augment,
            expected="none",
            cure="set augment to none, or make the task binary or multiclass",
        )
    started = time.time() - START_SECONDS
    from pipelines.tuning.search import report, search  # Ray, which a re-used result does without
    from pipelines.tuning.trial import oof_path

    columns = load_columns(features.path, night.model)
    seed = night.model.seed
    families: dict[str, Family] = {name: family(name) for name in spec.families}
    if spec.augment != "none":
        families = {name: Augmented(learner) for name, learner in families.items()}
    study = Study(families, columns.shape, seed=seed, generation=spec.generation, prune=spec.prune)
    budget = Budget(
        spec.budget_seconds, spec.trials, min(settings.cores, spec.generation), spec.members, len(columns.folds),
        started=started,
    )  # fmt: skip
    folder = out / "oof"
    folder.mkdir()
    outcomes = search(columns, families, study, budget, folder, seed, lambda: ray_session(settings))
    done = _check(outcomes)
    for outcome in done[spec.keep :]:
        oof_path(folder, outcome.proposal.number).unlink()
    write_table(_journal(outcomes, columns.shape.metric), out / "trials")
    best = done[0]
    score = -sign(columns.shape.metric) * best.answer.loss
    left_out: list[dict[str, Any]] = [
        {"number": o.proposal.number, "family": o.proposal.family, "why": o.answer.error}
        for o in outcomes
        if o.answer.state in ("failed", "cut")
    ]
    remaining = budget.remaining()
    summary: dict[str, Any] = {
        "metric": columns.shape.metric,
        "budget": {"trials": spec.trials} if spec.trials else {"seconds": spec.budget_seconds},
        "started": started,
        "remaining_seconds": remaining,
        "best": {"number": best.proposal.number, "family": best.proposal.family, "score": score},
        "left_out": left_out,
        "keep": [o.proposal.number for o in done[: spec.keep]],
    }
    write_atomic(out / "search.json", json.dumps(summary, indent=1, sort_keys=True))
    for entry in left_out:
        report(f"left out: trial {entry['number'] + 1} {entry['family']}: {entry['why']}")
    meta = {"trials": len(outcomes), "best": summary["best"], "remaining_seconds": remaining}
    return StageOutcome(rows=len(outcomes), meta=meta, stats={**meta, "left_out": left_out})


def _check(outcomes: list[Outcome]) -> list[Outcome]:
    """Give the finished trials, best first; equal scores keep their order."""
    done = sorted(
        (outcome for outcome in outcomes if outcome.answer.state == "done"), key=lambda outcome: outcome.answer.loss
    )
    well = sum(outcome.answer.state != "failed" for outcome in outcomes)
    if not done or well < LEAST_SUCCESS * len(outcomes):
        bad = [outcome for outcome in outcomes if outcome.answer.state in ("failed", "cut")]
        raise SpecError(
            "the search failed: too few trials ended well",
            where="tune",
            seen=f"{len(done)} of {len(outcomes)} trials finished",
            expected=f"at least one, and no more than {1 - LEAST_SUCCESS:.0%} failures",
            cure="leave the families that fail out of TuneSpec.families, or give budget_seconds more time",
            faults=[f"trial {o.proposal.number + 1} {o.proposal.family}: {o.answer.error}" for o in bad],
        )
    return done


def _journal(outcomes: list[Outcome], metric: str) -> pa.Table:
    turn = -sign(metric)
    rows = [
        {
            "number": outcome.proposal.number,
            "family": outcome.proposal.family,
            "params": canonical_json(outcome.proposal.params),
            "score": turn * outcome.answer.loss,
            "fit_seconds": outcome.answer.fit_seconds,
            "seconds": outcome.answer.seconds,
            "state": outcome.answer.state,
            "error": outcome.answer.error,
            "learned": canonical_json(list(outcome.answer.learned)),
        }
        for outcome in outcomes
    ]
    schema = pa.schema(
        [
            ("number", pa.int64()), ("family", pa.string()), ("params", pa.string()), ("score", pa.float64()),
            ("fit_seconds", pa.float64()), ("seconds", pa.float64()), ("state", pa.string()), ("error", pa.string()),
            ("learned", pa.string()),
        ]
    )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)
