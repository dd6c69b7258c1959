"""The search: Ray Tune runs what the study proposes, within the budget."""

from __future__ import annotations

import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from pipelines.algorithms.base import Family
from pipelines.algorithms.metrics import sign
from pipelines.algorithms.table import Columns
from pipelines.tuning.budget import Budget
from pipelines.tuning.proposals import Answer, Proposal, Study
from pipelines.tuning.trial import Trial

KILL_SECONDS, KILL_FIRST_SECONDS = 1.5, 12.0
"""A trial that has not ended this long after its limit is killed, with its process; a family's first has longer:
on a busy machine a late model is better than none."""
GRACE_SECONDS = 15.0
"""When Tune itself ends the search, should that fail; it then waits up to ten seconds for a hung process."""

KILLED = "did not end in time and was killed"


def report(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Outcome:
    """One trial and what it came to."""

    proposal: Proposal
    answer: Answer


class StudySearcher(Searcher):  # type: ignore[misc]  # Ray ships no types
    """Ray Tune's view of the study: hands out its proposals and takes the answers back."""

    def __init__(self, study: Study, budget: Budget, metric: str) -> None:
        super().__init__(metric="loss", mode="min")
        self.study, self.budget = study, budget
        self.outcomes: list[Outcome] = []
        self._running: dict[str, tuple[Proposal, float]] = {}
        self._asked = 0
        self._over = False
        self._sign = -sign(metric)

    def suggest(self, trial_id: str) -> Any:
        """Give the next configuration, None to be asked again later, or FINISHED."""
        spent = self.budget.trials is not None and self._asked >= self.budget.trials
        if spent or self._over:
            return Searcher.FINISHED
        if not self.study.ready():
            return None
        proposal = self.study.propose()
        if not self.budget.affords(proposal):
            self._over = True
            return Searcher.FINISHED
        self._asked += 1
        soft, hard = self.budget.limits(proposal)
        now, kill_after = time.time(), None
        if soft is not None:
            kill_after = soft + KILL_FIRST_SECONDS
        elif hard is not None:
            kill_after = hard - now + KILL_SECONDS
        self._running[trial_id] = (proposal, math.inf if kill_after is None else now + kill_after)
        return {
            "number": proposal.number, "family": proposal.family, "params": proposal.params, "soft": soft,
            "hard": hard, "rival": list(proposal.rival),
            "kill_after": kill_after,
        }  # fmt: skip

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take a trial's answer; a trial without one died or was cut."""
        if trial_id not in self._running:
            return
        proposal, killed_from = self._running.pop(trial_id)
        if result is None or error or "state" not in result:
            cut = not error or time.time() >= killed_from
            answer = Answer("cut", error=KILLED) if cut else Answer("failed", error="its process died")
        else:
            answer = Answer(
                state=result["state"], loss=float(result["loss"]), fold_losses=tuple(result.get("fold_losses", ())),
                fit_seconds=float(result.get("fit_seconds", 0.0)), seconds=float(result["trial_seconds"]),
                error=result["error"], learned=tuple(result.get("learned", ())),
            )  # fmt: skip
        self.study.answer(proposal.number, answer)
        self.budget.note(proposal, answer)
        self.outcomes.append(Outcome(proposal, answer))
        self._report(proposal, answer)

    def end(self) -> None:
        """Name the trials that Tune stopped without an answer."""
        for trial_id in list(self._running):
            self.on_trial_complete(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a retried night searches again."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def _report(self, proposal: Proposal, answer: Answer) -> None:
        losses = [o.answer.loss for o in self.outcomes if o.answer.state == "done"]
        best = f"best {self._sign * min(losses):.6g}" if losses else "none finished yet"
        score = f"{self._sign * answer.loss:.6g}" if math.isfinite(answer.loss) else answer.error
        left = f", {max(0.0, self.budget.left()):.0f} s left" if self.budget.timed else f" of {self.budget.trials}"
        where = f"trial {proposal.number + 1}" + ("" if self.budget.timed else left)
        report(
            f"{where} {proposal.family} {answer.state} {score} in {answer.seconds:.1f} s; {best}"
            + (left if self.budget.timed else "")
        )


def search(
    columns: Columns,
    families: Mapping[str, Family],
    study: Study,
    budget: Budget,
    folder: Path,
    seed: int,
    session: Callable[[], Any],
) -> list[Outcome]:
    """Run trials until the budget is spent; give them in trial order.

    Parameters
    ----------
    columns
        Put into Ray's object store once.
    folder
        Gets one ``.npy`` of out-of-fold predictions per finished trial.
    session
        Context manager that starts Ray and stops it.
    """
    searcher = StudySearcher(study, budget, columns.shape.metric)
    started = time.time()
    # Tune logs a traceback for a killed trial and misses log files that are off; our own lines say what happened.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="aimass-tune-") as scratch, session():
        report(f"Ray is up after {time.time() - started:.1f} s")
        shared = {"families": dict(families), "columns": columns, "folder": str(folder), "seed": seed}
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(Trial, **shared), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=searcher, num_samples=budget.trials or -1, max_concurrent_trials=budget.cores,
                reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id,
                time_budget_s=max(1.0, budget.left()) + GRACE_SECONDS if budget.timed else None,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch, verbose=0, failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )  # fmt: skip
        tuner.fit()
        searcher.end()
        report(f"search over after {time.time() - started:.1f} s, {len(searcher.outcomes)} trials")
    return sorted(searcher.outcomes, key=lambda outcome: outcome.proposal.number)
