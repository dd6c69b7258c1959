"""Conducts a search: what runs next, for how long, what came of it; whoever runs the trials asks here."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pipelines.metrics import METRICS
from pipelines.tuning.budget import Budget
from pipelines.tuning.search_journal import Journal
from pipelines.tuning.study import Study
from pipelines.tuning.trial_runner import hung_path
from pipelines.tuning.trials import Proposal, TrialOutcome, TrialResult

log = logging.getLogger(__name__)

KILL_SECONDS, KILL_FIRST_SECONDS = 1.5, 12.0
"""A trial that has not ended this long after its limit is killed, with its process. A family's first has longer where
that is still within the budget; the very first has it in any case, and those after it where none has ended well: a late
model is better than none."""
TRIES, CLUSTER_TRIES = 2, 4
"""Processes that a trial may lose before it counts as failed: the first loss may not be its fault. On a cluster, where
whole nodes go, nor need the next ones be."""

KILLED = "did not end in time and was killed"
DIED = "its process died"


class Turn(Enum):
    """What a runner gets when no trial is ready for it."""

    WAIT = "wait"
    OVER = "over"


@dataclass
class RunningTrial:
    """A trial that was handed out, and since when."""

    proposal: Proposal
    since: float


class Conductor:
    """The state of a search between its study, its budget, its journal and the processes that run trials.

    Attributes
    ----------
    outcomes
        Finished trials in the order they ended, those of a broken-off search included.
    resumed
        How many of them an earlier search had finished.
    tries
        Processes that a trial may lose.
    """

    def __init__(
        self,
        study: Study,
        budget: Budget,
        journal: Journal,
        metric: str,
        *,
        keep: int = 1_000_000,
        memory_mb: int | None = None,
        sized: bool = False,
        rows: int | None = None,
    ) -> None:
        self.study, self.budget, self.journal = study, budget, journal
        self.outcomes: list[TrialOutcome] = []
        self.resumed, self.tries = 0, TRIES
        self._memory_mb, self._sized, self._keep, self._rows = memory_mb, sized, keep, rows
        self._sign = -METRICS[metric].sign
        self._again: deque[Proposal] = deque()
        self._running: dict[int, RunningTrial] = {}
        self._losses: dict[int, int] = {}
        self._over = False
        self._overheads: list[float] = []
        self._span = (math.inf, -math.inf)

    def next(self) -> Proposal | Turn:
        """Return the next trial to run, WAIT to be asked again later, or OVER."""
        if self._again:
            return self._hand_out(self._again.popleft())
        while not self._over:
            spent = self.budget.trials is not None and self.study.asked >= self.budget.trials
            if spent:
                break
            if not self.study.ready():
                return Turn.WAIT
            proposal = self._propose()
            if proposal is None:
                self._over = True
            elif not self._recall(proposal):
                return self._hand_out(proposal)
        # A trial that loses its process is tried again: until all have ended this may not be the end.
        return Turn.WAIT if self._running else Turn.OVER

    def work(self, proposal: Proposal) -> dict[str, Any]:
        """Return what a worker needs to know of a trial; asked when it is handed out."""
        soft, hard = self.budget.limits(proposal, len(self.study.untried))
        kill_after = self.budget.trial_seconds
        if soft is not None:
            failing = bool(self.outcomes) and self.budget.empty_handed
            grace = KILL_FIRST_SECONDS if proposal.number == 0 or failing else KILL_SECONDS
            latest = max(soft + grace, self.budget.left() + KILL_SECONDS)
            kill_after = min(kill_after or math.inf, soft + KILL_FIRST_SECONDS, latest)
        elif hard is not None:
            kill_after = min(kill_after or math.inf, hard - time.time() + KILL_SECONDS)
        return {
            "number": proposal.number,
            "family": proposal.family,
            "params": proposal.params,
            "soft": soft,
            "hard": hard,
            "rival": list(proposal.rival),
            "rival_loss": proposal.rival_loss,
            "bars": list(proposal.bars),
            "kill_after": kill_after,
            "device": proposal.device,
            "gpu_share": self.study.gpu_share or 1.0,
            "memory_mb": self._memory_mb,
            "sized": self._sized,
            "rows": self._rows,
        }

    def ended(self, number: int, report: Mapping[str, Any]) -> None:
        """Record what a worker reports of a finished trial."""
        running = self._running.pop(number)
        seconds = float(report["trial_seconds"])
        self._overheads.append(max(0.0, time.time() - running.since - seconds))
        result = TrialResult(
            state=report["state"],
            loss=float(report["loss"]),
            fold_losses=tuple(report.get("fold_losses", ())),
            fit_seconds=float(report.get("fit_seconds", 0.0)),
            seconds=seconds,
            error=report["error"],
            learned=tuple(report.get("learned", ())),
            size=int(report.get("size", 0)),
            device=report["device"],
            needs=float(report.get("needs", 0.0)),
        )
        self._record(TrialOutcome(running.proposal, result))

    def lost(self, number: int, *, cut: bool = False) -> None:
        """Take note that a trial's process has gone: it was cut, or is tried once more, or has failed.

        Parameters
        ----------
        cut
            Whether the runner itself ended it for its time.
        """
        running = self._running.pop(number)
        seconds = time.time() - running.since
        self._losses[number] = self._losses.get(number, 0) + 1
        trace = hung_path(self.journal.folder, number)
        hung = trace.exists() and trace.stat().st_size > 0
        trace.unlink(missing_ok=True)
        if cut or hung:
            self._record(TrialOutcome(running.proposal, TrialResult("cut", error=KILLED, seconds=seconds)))
        elif self._losses[number] >= self.tries or self._late():
            died = f"{DIED}, {self._losses[number]} times" if self._losses[number] > 1 else DIED
            self._record(TrialOutcome(running.proposal, TrialResult("failed", error=died, seconds=seconds)))
        else:
            log.info(f"trial {number + 1} {running.proposal.family}: {DIED}; it is tried again")
            self._again.append(running.proposal)

    def end(self) -> None:
        """Name the trials that were stopped without a result."""
        for number in list(self._running):
            self.lost(number, cut=True)

    def take_back(self) -> None:
        """Take back all trials that are running: their runner has gone, another will run them, on the CPU."""
        gone = [self._running.pop(number).proposal for number in sorted(self._running)]
        self._again = deque(replace(proposal, device="cpu") for proposal in (*self._again, *gone))

    def speed(self) -> dict[str, float | None]:
        """Return trials per minute, and the seconds that running a trial costs besides the trial itself.

        ``overhead_seconds`` is the median, what a trial costs in a process that is there already; the mean counts the
        start of the processes too.
        """
        count = len(self._overheads)
        span = self._span[1] - self._span[0]
        return {
            "trials_per_minute": round(60.0 * count / span, 2) if count and span > 0 else None,
            "overhead_seconds": round(statistics.median(self._overheads), 4) if count else None,
            "mean_overhead_seconds": round(statistics.fmean(self._overheads), 4) if count else None,
        }

    def _late(self) -> bool:
        return self.budget.timed and self.budget.left() <= 0.0

    def _propose(self) -> Proposal | None:
        entry = self.journal.found.get(self.study.asked)
        if entry is not None and self.budget.timed:
            # What was affordable when the clock decided is not known any more: the trials are taken as they were.
            return self.study.adopt(entry["family"], entry["params"], entry["origin"])
        return self.study.propose(self.budget.affords if self.budget.timed else None)

    def _recall(self, proposal: Proposal) -> bool:
        """Take over the result of a trial that an earlier search has finished, if it has."""
        entry = self.journal.found.get(proposal.number)
        if entry is None or not entry.describes(proposal.family, proposal.params):
            return False
        result = entry.result
        self.resumed += 1
        self._settle(TrialOutcome(proposal, result))
        return True

    def _hand_out(self, proposal: Proposal) -> Proposal:
        now = time.time()
        self._span = (min(self._span[0], now), self._span[1])
        self._running[proposal.number] = RunningTrial(proposal, now)
        return proposal

    def _record(self, outcome: TrialOutcome) -> None:
        self._span = (self._span[0], time.time())
        self.journal.add(outcome, self.budget.spent)
        self._settle(outcome)
        self._report(outcome)

    def _settle(self, outcome: TrialOutcome) -> None:
        self.study.record(outcome.proposal.number, outcome.result)
        self.budget.note(outcome.proposal, outcome.result)
        self.outcomes.append(outcome)
        for worse in best_first(self.outcomes)[self._keep :]:
            self.journal.forget(worse.proposal.number)

    def _report(self, outcome: TrialOutcome) -> None:
        proposal, result = outcome.proposal, outcome.result
        losses = [o.result.loss for o in self.outcomes if o.result.state == "done"]
        best = f"best {self._sign * min(losses):.6g}" if losses else "none finished yet"
        score = f"{self._sign * result.loss:.6g}" if math.isfinite(result.loss) else result.error
        left = f", {max(0.0, self.budget.left()):.0f} s left" if self.budget.timed else f" of {self.budget.trials}"
        where = f"trial {proposal.number + 1}" + ("" if self.budget.timed else left)
        log.info(
            f"{where} {proposal.family} {result.state} {score} in {result.seconds:.1f} s; {best}"
            + (left if self.budget.timed else "")
        )
        if result.state == "done" and result.error:
            log.info(f"trial {proposal.number + 1} {result.error}")


def best_first(outcomes: list[TrialOutcome]) -> list[TrialOutcome]:
    """Return the finished trials, best first; equal scores keep the order of their numbers."""
    done = [outcome for outcome in outcomes if outcome.result.state == "done"]
    return sorted(done, key=lambda outcome: (outcome.result.loss, outcome.proposal.number))
