"""`aimass releases`: how versions came to callers, and what was measured at each share of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipelines.cli.show import require_model
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.rollouts import SILENT_AFTER
from pipelines.ledger.rows import RolloutRow

OPEN = ("running", "paused")


def releases(ledger: Ledger, name: str, version: int | None = None) -> list[dict[str, Any]]:
    """Return the releases of a model, oldest first: all, or with ``steps`` those of one version.

    Returns
    -------
    list of dict
        ``version``, ``against``: version that was live, or None; ``state``: running, paused, promoted or aborted;
        ``share``: percent of callers that reach it now; ``shadow``: it gets copies of requests; ``silent``: it is said
        to be running, but its deployer gives no sign; ``begun``, ``ended``; ``minutes``; ``why``; ``night``.
        ``steps``: see :func:`steps`.

    Raises
    ------
    SpecError
        If there is no such model, or the version was never released.
    """
    require_model(ledger, name)
    rows = ledger.rollouts(name)
    if version is None:
        return [describe(row) for row in rows]
    found = [row for row in rows if row.version == version]
    if not found:
        known = ", ".join(str(each) for each in sorted({row.version for row in rows}))
        raise SpecError(
            "this version has no release",
            where=name,
            seen=f"version {version}",
            expected=f"one of {known or 'none yet'}",
            cure=f"aimass releases {name} lists them; aimass show {name} lists all versions",
        )
    return [{**describe(row), "steps": steps(ledger, row)} for row in found]


def open_release(ledger: Ledger, name: str) -> dict[str, Any] | None:
    """Return the release of a model that is running or paused."""
    return next((describe(row) for row in reversed(ledger.rollouts(name)) if row.state in OPEN), None)


def describe(row: RolloutRow) -> dict[str, Any]:
    """Return the facts of one release; see :func:`releases`."""
    now = datetime.now(UTC)
    return {
        "version": row.version,
        "against": row.control,
        "state": row.state,
        "share": row.share,
        "shadow": row.shadow,
        "silent": row.state == "running" and now - row.beat_at > SILENT_AFTER,
        "begun": row.started_at.isoformat(timespec="seconds"),
        "ended": row.finished_at.isoformat(timespec="seconds") if row.finished_at else None,
        "minutes": round(((row.finished_at or now) - row.started_at).total_seconds() / 60, 1),
        "why": row.why,
        "night": row.night,
    }


def steps(ledger: Ledger, row: RolloutRow) -> list[dict[str, Any]]:
    """Return what was measured at each share of callers, in the order of the release.

    Returns
    -------
    list of dict
        ``share``; ``passed``: the release went on from there; ``control`` and ``candidate``: {requests, errors, p50_ms,
        p95_ms}; where it could be told ``shift`` (of numbers) and ``label_shift``, distances from 0 to 1, and
        ``flips``, the share of copied rows whose label differs. A share that has not passed holds the counts so far.
    """
    from pipelines.deployment.canary import counts_at
    from pipelines.deployment.judge import judge
    from pipelines.deployment.spec import DeploySpec

    passed = {step["share"]: {**step, "passed": True} for step in (row.evidence or {}).get("steps", ())}
    arms = ledger.arms(row.id)
    others = {arm.share for arm in arms} - passed.keys()
    if others:
        spec = DeploySpec(canary_requests=_needed(ledger, row) or DeploySpec().canary_requests)
        for share in others:
            judged = judge(*counts_at(arms, share), spec, alone=share == 100)
            passed[share] = {"share": share, **judged.figures, "passed": False}
    return [passed[share] for share in sorted(passed)]


def _needed(ledger: Ledger, row: RolloutRow) -> int | None:
    """Return how many requests the night's settings ask for at each share."""
    specs = (each.spec or {} for each in ledger.stages(row.model, row.night) if each.stage == "deploy")
    needed: int | None = next(specs, {}).get("canary_requests")
    return needed


def state_of(release: dict[str, Any]) -> str:
    """Return the state of a release in words, with what callers see of it."""
    if release["state"] != "running":
        return str(release["state"])
    if release["silent"]:
        return "running, but its deployer is silent: no caller reaches it"
    if release["shadow"]:
        return "running, copies of requests"
    return f"running, {release['share']} % of callers" if release["share"] else "running, no callers yet"


def rows_of(found: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return header and rows of the table of releases."""
    rows = [
        [each["version"], each["against"], state_of(each), _minute(each["begun"]), each["minutes"], _short(each["why"])]
        for each in found
    ]
    return ["version", "against", "state", "begun", "minutes", "why"], rows


def step_rows_of(release: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Return header and rows of the table of a release's steps: one row for each version at each share."""
    left = {"running": "so far", "aborted": "ended here"}.get(release["state"], release["state"])
    rows: list[list[Any]] = []
    for step in release["steps"]:
        share = f"{step['share']} %" if step["share"] else "copies"
        shifts = [step[name] for name in ("shift", "label_shift") if name in step]
        judged = [max(shifts, default=None), step.get("flips"), "passed" if step["passed"] else left]
        for version, arm, more in (
            (f"{release['against']} (control)", step["control"], [None, None, ""]),
            (release["version"], step["candidate"], judged),
        ):
            rows.append([share, version, *(arm[name] for name in ("requests", "errors", "p50_ms", "p95_ms")), *more])
    return ["share", "version", "requests", "errors", "p50 ms", "p95 ms", "shift", "flips", ""], rows


def heading_of(release: dict[str, Any]) -> str:
    """Return the line above the steps of a release."""
    against = "no version is live" if release["against"] is None else f"version {release['against']} is the control"
    times = f"begun {_minute(release['begun'])} UTC, {release['minutes']} minutes"
    return f"version {release['version']}: {state_of(release)}; {against}; {times}"


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _short(why: str) -> str:
    """Return a reason in one line: of an error what is wrong and what was seen."""
    lines = why.splitlines() or [""]
    seen = next((line.removeprefix("  seen: ") for line in lines if line.startswith("  seen: ")), "")
    return f"{lines[0]}: {seen}" if seen else lines[0]
