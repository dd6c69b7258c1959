"""`aimass reproduce`: runs a version's night again and names the first stage whose result differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipelines.cli.show import require_model
from pipelines.errors import AimassError, SpecError
from pipelines.ledger import Ledger
from pipelines.reproduction.rerun import REPEATED, Rerun, scratch_home
from pipelines.reproduction.result_diff import differences, reasons
from pipelines.settings import Settings

Say = Callable[[str], None]
MAX_TOLD = 5


def reproduce(settings: Settings, ledger: Ledger, name: str, version: int, tell: Say) -> dict[str, Any]:
    """Run the night of a version again, stage by stage, up to the first that differs.

    Every stage is given what its predecessor gave in this run; the sources are read as they were known then. Nothing is
    published, and the real home is left as it is.

    Returns
    -------
    dict
        ``model``, ``version``, ``night``, ``as_of``, ``stages`` [{stage, state, seconds, differs, why}] with ``state``
        ``same``, ``different``, ``untold`` (its files are gone, and what is left of them cannot tell) or ``failed``;
        ``diverged``: the first stage that is different or failed, or None.

    Raises
    ------
    SpecError
        If there is no such version, or its night was recorded by a release that kept too little of it.
    """
    night = find_night(ledger, name, version)
    facts: dict[str, Any] = {"model": name, "version": version, "night": night.night, "as_of": night.as_of.isoformat()}
    facts |= {"stages": [], "diverged": None}
    with scratch_home(settings) as scratch:
        rerun = Rerun(settings, ledger, scratch, night)
        try:
            _check(rerun)
            for stage in (name for name in REPEATED if name in rerun.recorded):
                facts["stages"].append(_repeat(rerun, stage))
                tell(line(facts["stages"][-1]))
                if facts["stages"][-1]["state"] in ("different", "failed"):
                    facts["diverged"] = stage
                    break
        finally:
            rerun.close()
    return facts


def find_night(ledger: Ledger, name: str, version: int) -> Any:
    """Return the row of the night that made a version."""
    require_model(ledger, name)
    row = ledger.version(name, version)
    night = ledger.night(name, row.night) if row is not None else None
    if night is None:
        numbers = ", ".join(str(item.version) for item in ledger.versions(name)) or "none"
        raise SpecError(
            "no such version", where=name, seen=version, expected=f"one of {numbers}", cure=f"aimass show {name}"
        )
    return night


def _check(rerun: Rerun) -> None:
    missing = [stage for stage in REPEATED if stage not in rerun.recorded and stage != "validate"]
    untold = [stage for stage, row in rerun.recorded.items() if stage in REPEATED and not row.made_of]
    if missing or untold:
        raise SpecError(
            "too little is known of this night to do it again",
            where=f"{rerun.night.model} {rerun.night.night}",
            seen=f"nothing of {', '.join(missing or untold)}",
            expected="what each result was made of, which the ledger keeps since format 0002",
            cure="reproduce a version of a later night",
        )


def _repeat(rerun: Rerun, stage: str) -> dict[str, Any]:
    row, started = rerun.recorded[stage], time.monotonic()
    told: dict[str, Any] = {"stage": stage, "state": "same", "seconds": 0.0, "differs": [], "why": []}
    try:
        made = rerun.run(stage)
    except AimassError as error:
        told |= {"state": "failed", "why": [str(error)]}
    else:
        found = differences(rerun.settings, rerun.scratch, row, made)
        if found is None:
            told["state"] = "untold"
        elif found:
            told |= {"state": "different", "differs": found, "why": reasons(row, rerun.made_of(stage))}
    return told | {"seconds": round(time.monotonic() - started, 3)}


def line(stage: Mapping[str, Any]) -> str:
    """Return the line of one stage."""
    words = {"untold": "done again; the recorded files are gone"}
    return f"  {stage['stage']:<9} {words.get(stage['state'], stage['state']):<10}{stage['seconds']:8.1f} s"


def lines_of(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the result in words."""
    title = f"{facts['model']} version {facts['version']} (night of {facts['as_of'][:10]})"
    if facts["diverged"] is None:
        untold = [stage["stage"] for stage in facts["stages"] if stage["state"] == "untold"]
        yield f"{title}: reproduced, {len(facts['stages']) - len(untold)} of {len(facts['stages'])} stages compared"
        if untold:
            yield f"not to be compared, for their files were tidied away: {', '.join(untold)}"
        return
    last = facts["stages"][-1]
    yield f"{title}: {last['stage']} is the first stage that {'fails' if last['state'] == 'failed' else 'differs'}"
    if last["differs"]:
        more = len(last["differs"]) - MAX_TOLD
        yield f"differs: {', '.join(last['differs'][:MAX_TOLD])}{f' and {more} more' if more > 0 else ''}"
    for reason in last["why"]:
        yield f"because: {reason}" if last["state"] == "different" else reason
