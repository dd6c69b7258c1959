"""The canary: callers come to a candidate step by step, as long as it is not worse than the live version."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.deployment.judge import Counts, Judgement, judge
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import AimassError, DeployError
from pipelines.ledger import Ledger
from pipelines.ledger.rows import ArmRow, RolloutRow
from pipelines.waiting import wait_until

LOOK_SECONDS = 1.0
BEAT_SECONDS = 5.0
PROGRESS_SECONDS = 30.0

log = logging.getLogger(__name__)


class PausedError(DeployError):
    """The canary cannot be judged: too few requests came."""


@contextmanager
def beating(ledger: Ledger, rollout: int) -> Iterator[None]:
    """Say in the ledger that the deployer is alive, for as long as the block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                ledger.beat(rollout)
            except AimassError:
                return  # ended by somebody else: the next step of the deployer says so
            except Exception as error:  # noqa: BLE001  # a ledger that is away for a moment ends no release
                log.warning("the ledger cannot be reached: %s", error)

    thread = threading.Thread(target=beat, name="rollout-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run_canary(
    spec: DeploySpec, ledger: Ledger, rollout: RolloutRow, renew: Callable[[], None]
) -> list[dict[str, Any]]:
    """Take a candidate through the shares of ``spec.canary``; return what was seen at each.

    One that was begun by an earlier attempt goes on at its share.

    Parameters
    ----------
    renew
        Asks for the candidate's service to go on; called before each step and every half minute.

    Raises
    ------
    DeployError
        The candidate is worse, or somebody ended the release; callers are with the live version again.
    PausedError
        Too few requests came within ``spec.canary_minutes``.
    """
    steps: list[dict[str, Any]] = list((rollout.evidence or {}).get("steps", ()))
    done = {step["share"] for step in steps}
    until = time.monotonic() + spec.canary_minutes * 60
    for share in spec.canary:
        if share in done:
            continue
        renew()
        ledger.expose(rollout.id, share, shadow=share == 0)
        log.info(f"{_share_of(share)} to version {rollout.version}; version {rollout.control} is live")
        judged = _watch(spec, ledger, rollout, share, until, renew)
        steps.append({"share": share, **judged.figures})
        ledger.note_rollout(rollout.id, {**(rollout.evidence or {}), "steps": steps})
        log.info(f"{_share_of(share)}: {_line(judged)}")
    return steps


def _watch(
    spec: DeploySpec, ledger: Ledger, rollout: RolloutRow, share: int, until: float, renew: Callable[[], None]
) -> Judgement:
    """Look at the counts of one share until they decide."""
    told = time.monotonic()

    def look() -> Judgement | None:
        nonlocal told
        ledger.beat(rollout.id)
        judged = judge(*counts_at(ledger.arms(rollout.id), share), spec, alone=share == 100)
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            renew()
            log.info(f"{_share_of(share)}: {_line(judged)} of {spec.canary_requests} requests that are needed")
        return judged if judged.faults or judged.enough else None

    judged = wait_until(look, seconds=max(until - time.monotonic(), 0), every=LOOK_SECONDS)
    where = f"{rollout.model} version {rollout.version} at {share} %"
    if judged is None:
        seen = judge(*counts_at(ledger.arms(rollout.id), share), spec, alone=share == 100)
        raise PausedError(
            "the canary is paused: too few requests to judge it by",
            where=where,
            seen=_line(seen),
            expected=f"{spec.canary_requests} requests to each version within {spec.canary_minutes:g} minutes",
            cure=f"`aimass rollback {rollout.model} --to {rollout.version} --why TEXT` puts it into service, the next "
            "night replaces it; for fewer callers declare larger shares in DeploySpec.canary, or none",
        )
    if judged.faults:
        raise DeployError(
            "the canary was ended: the candidate is worse than the live version",
            where=where,
            seen=judged.faults[0],
            expected="no more errors, no slower, the same distribution of predictions, within the limits of DeploySpec",
            cure=f"version {rollout.control} answers all callers; see the candidate's log and its evaluation",
            faults=judged.faults,
        )
    return judged


def counts_at(arms: Sequence[ArmRow], share: int) -> tuple[Counts, Counts]:
    """Return control and candidate at a share; the control of a share of 100 is that of all before."""
    control = [arm.counts for arm in arms if arm.arm == "control" and share in (100, arm.share)]
    return Counts.of(control), Counts.of(arm.counts for arm in arms if arm.arm == "candidate" and arm.share == share)


def _share_of(share: int) -> str:
    return f"{share} % of callers" if share else "copies of requests"


def _line(judged: Judgement) -> str:
    control, candidate = judged.figures["control"], judged.figures["candidate"]
    texts = [f"candidate {candidate['requests']}", f"live {control['requests']}"]
    return ", ".join([*texts, f"errors {candidate['errors']} and {control['errors']}"])
