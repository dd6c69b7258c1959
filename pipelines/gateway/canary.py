"""A release in progress: some callers reach the candidate, or copies of their requests do, and both arms are counted.

No caller notices a candidate that fails: the version that is live is asked instead, and the failure is counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Protocol

from pipelines.gateway.errors import RequestError
from pipelines.gateway.services import AwayError, Predicted
from pipelines.gateway.tables import Table

CONTROL, CANDIDATE = "control", "candidate"
SAMPLE = 1_000
"""Times and predictions that are kept of an arm, drawn evenly from all of it."""
MAX_LABELS = 100
MAX_FAULTS = 5
COPIES = 8
"""Copies of requests that a candidate is asked at once; further ones are left out."""
WRITE_SECONDS = 1.0

log = logging.getLogger(__name__)

Ask = Callable[[], Awaitable[tuple[Predicted, Table]]]


class RolloutStore(Protocol):
    """The part of the ledger that knows the releases in progress."""

    def exposed_rollouts(self) -> Sequence[Any]:
        """Return the rollouts whose candidate gets requests or copies of them."""

    def count_arm(self, rollout: int, share: int, arm: str, gateway: str, counts: Mapping[str, Any]) -> None:
        """Write what was counted of one arm so far."""


@dataclass(frozen=True)
class Rollout:
    """One release in progress, as the ledger has it."""

    id: int
    version: int
    share: int
    shadow: bool

    def picks(self, key: str) -> bool:
        """Tell whether the caller with this key reaches the candidate; the same one does at each higher share, too."""
        digest = hashlib.blake2b(f"{self.id}:{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % 10_000 < self.share * 100


class Sample:
    """An even sample of numbers that come one by one: Vitter's algorithm R."""

    def __init__(self) -> None:
        self.kept: list[float] = []
        self._seen = 0
        self._random = random.Random(0)  # noqa: S311 - it samples, and hides nothing

    def add(self, number: float) -> None:
        """Take a number into account."""
        self._seen += 1
        if len(self.kept) < SAMPLE:
            self.kept.append(number)
        elif (index := self._random.randrange(self._seen)) < SAMPLE:
            self.kept[index] = number


@dataclass
class Arm:
    """What one gateway counts of one arm at one share.

    Parameters
    ----------
    requests, errors
        All requests of the arm, and those that failed.
    faults
        Texts of a few of the failures, with their number.
    ms
        Sample of the times to predict, in milliseconds.
    values
        Sample of the predicted numbers: of a regression, or probabilities; the first components of a reduction.
    labels
        How often each label was predicted.
    compared, flips
        Rows of copies whose two predictions were compared, and those whose labels differ.
    """

    requests: int = 0
    errors: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ms: Sample = field(default_factory=Sample)
    values: Sample = field(default_factory=Sample)
    labels: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    flips: int = 0

    def failed(self, why: str) -> None:
        """Count a failure."""
        self.requests += 1
        self.errors += 1
        if why in self.faults or len(self.faults) < MAX_FAULTS:
            self.faults[why] += 1

    def predicted(self, outputs: Mapping[str, Any], ms: float) -> None:
        """Count a response."""
        self.requests += 1
        self.ms.add(ms)
        predictions = outputs.get("prediction") or [first for first, *_ in outputs.get("components", ())]
        for number in outputs.get("probability", predictions):
            if isinstance(number, float):
                self.values.add(number)
        for label in predictions:
            if not isinstance(label, float) and (str(label) in self.labels or len(self.labels) < MAX_LABELS):
                self.labels[str(label)] += 1

    def counts(self) -> dict[str, Any]:
        """Return it for the ledger."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "faults": dict(self.faults),
            "ms": [round(number, 3) for number in self.ms.kept],
            "values": self.values.kept,
            "labels": dict(self.labels),
            "compared": self.compared,
            "flips": self.flips,
        }


class Canaries:
    """Asks candidates in the place of live versions, and counts how both fare."""

    def __init__(self, store: RolloutStore) -> None:
        self.store = store
        self.gateway = token_hex(8)
        self.copies_left_out = 0
        self._arms: dict[tuple[int, int, str], Arm] = {}
        self._unwritten: set[tuple[int, int, str]] = set()
        self._copies: set[asyncio.Task[None]] = set()

    async def predict(self, rollout: Rollout, key: str, live: Ask, candidate: Ask) -> tuple[Predicted, Table]:
        """Return the response of the arm that a caller belongs to; that of the live version where a candidate fails.

        Parameters
        ----------
        key
            What is the same for all requests that shall see the same version.
        live, candidate
            Ask one version.

        Raises
        ------
        RequestError
            What a caller is told: always what the live version says.
        """
        if not rollout.picks(key):
            return await self._control(rollout, live, candidate)
        started = time.perf_counter()
        try:
            found = await candidate()
        except (RequestError, AwayError) as error:
            try:
                found = await live()
            except RequestError as refused:
                if refused.status >= 500:
                    self._failed(rollout, CANDIDATE, error)
                raise  # what the live version refuses, too, says nothing of the candidate
            self._failed(rollout, CANDIDATE, error)
            return found
        self._predicted(rollout, CANDIDATE, found[0], started)
        return found

    async def _control(self, rollout: Rollout, live: Ask, candidate: Ask) -> tuple[Predicted, Table]:
        started = time.perf_counter()
        try:
            found = await live()
        except RequestError as error:
            if error.status >= 500:
                self._failed(rollout, CONTROL, error)
            raise
        self._predicted(rollout, CONTROL, found[0], started)
        if rollout.shadow:
            self._copy(rollout, found[0], candidate)
        return found

    def _copy(self, rollout: Rollout, live: Predicted, candidate: Ask) -> None:
        """Ask the candidate the same once more, off the caller's path."""
        if len(self._copies) >= COPIES:
            self.copies_left_out += 1
            return

        async def ask() -> None:
            started = time.perf_counter()
            try:
                found, _ = await candidate()
            except (RequestError, AwayError) as error:
                self._failed(rollout, CANDIDATE, error)
                return
            self._predicted(rollout, CANDIDATE, found, started)
            if "probability" in live.outputs:
                pairs = list(zip(live.outputs["prediction"], found.outputs["prediction"], strict=True))
                arm = self._arm(rollout, CANDIDATE)
                arm.compared += len(pairs)
                arm.flips += sum(1 for ours, theirs in pairs if ours != theirs)

        task = asyncio.create_task(ask())
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    def _arm(self, rollout: Rollout, arm: str) -> Arm:
        key = (rollout.id, rollout.share, arm)
        self._unwritten.add(key)
        return self._arms.setdefault(key, Arm())

    def _failed(self, rollout: Rollout, arm: str, error: RequestError | AwayError) -> None:
        why = str(error)
        if isinstance(error, RequestError):
            why = "; ".join([f"{error.status} {error.error['what']}", *error.error.get("faults", ())[:1]])
        self._arm(rollout, arm).failed(why[:200])

    def _predicted(self, rollout: Rollout, arm: str, predicted: Predicted, started: float) -> None:
        self._arm(rollout, arm).predicted(predicted.outputs, (time.perf_counter() - started) * 1000)

    async def keep_written(self) -> None:
        """Write the counts for ever; while the ledger cannot be reached they are kept."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted since the last time, and forget what belongs to earlier rollouts."""
        written, self._unwritten = self._unwritten, set()
        for rollout, share, arm in sorted(written):
            counts = self._arms[rollout, share, arm].counts()
            try:
                await asyncio.to_thread(self.store.count_arm, rollout, share, arm, self.gateway, counts)
            except Exception as error:  # noqa: BLE001  # whatever the database raises, the gateway goes on serving
                self._unwritten.add((rollout, share, arm))
                log.warning("the counts of a release cannot be written: %s", error)
        newest = max((rollout for rollout, _, _ in self._arms), default=0)
        for key in [key for key in self._arms if key[0] < newest - 100 and key not in self._unwritten]:
            del self._arms[key]


def sticky_key(sent: str | None, table: Table, request_id: str) -> str:
    """Return what decides the arm of a request: the caller's own key, else the row's key, else chance."""
    if sent:
        return sent
    if table.key:
        return repr([cells[0] for cells in table.key.values()])
    return request_id
