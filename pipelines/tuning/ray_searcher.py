"""Ray Tune's view of a search: asks the conductor for trials and brings the results back."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

from ray.tune.execution import tune_controller
from ray.tune.search import Searcher
from ray.tune.utils.object_cache import _ObjectCache

from pipelines.tuning.trial_manager import Conductor, Turn


class StudySearcher(Searcher):  # type: ignore[misc]  # Ray ships no types
    """Hands out what the conductor proposes; Tune adds nothing of its own.

    Parameters
    ----------
    remote
        Whether trials run on other hosts: one that died when it had to end itself has left no word here, so the clock
        tells that it did.
    """

    def __init__(self, conductor: Conductor, remote: bool = False) -> None:
        super().__init__(metric="loss", mode="min")
        self._conductor, self._remote = conductor, remote
        self._numbers: dict[str, int] = {}
        self._ends: dict[str, float] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next configuration, None to be asked again later, or FINISHED."""
        proposal = self._conductor.next()
        if isinstance(proposal, Turn):
            return None if proposal is Turn.WAIT else Searcher.FINISHED
        self._numbers[trial_id] = proposal.number
        work = self._conductor.work(proposal)
        self._ends[trial_id] = math.inf if work["kill_after"] is None else time.time() + work["kill_after"]
        return work

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record a trial's result; a trial without one died or was cut."""
        number, ends = self._numbers.pop(trial_id, None), self._ends.pop(trial_id, math.inf)
        if number is None:
            return
        if result is None or error or "state" not in result:
            self._conductor.lost(number, cut=not error or (self._remote and time.time() >= ends))
        else:
            self._conductor.ended(number, result)

    def __getstate__(self) -> dict[str, Any]:
        """Return what Tune may store of it: nothing of the conductor, which holds open files."""
        return {**self.__dict__, "_conductor": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> StudySearcher:
        """Return itself: there is one conductor."""
        return self

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the journal holds what a retried night needs."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


def keep_processes(count: int) -> None:
    """Let Tune's next run keep ``count`` processes that have no trial; it has no setting for that.

    While the last trials of a generation run, Tune ends all idle processes but one. The next trials then ask for a new
    one, but take that of the first trial that ends, and its start is broken off. Where trials are shorter than the
    start of a process, a search goes on with one at a time.

    Parameters
    ----------
    count
        0: Tune decides. Where trials need different resources, idle processes would hold those that others need.
    """

    class Kept(Counter[Any]):
        def __missing__(self, key: Any) -> int:
            return count

    class Cache(_ObjectCache):  # type: ignore[misc]  # Ray ships no types
        def __init__(self, may_keep_one: bool = True) -> None:
            super().__init__(may_keep_one)
            self._max_num_objects = Kept()

    tune_controller._ObjectCache = Cache if count else _ObjectCache
