"""The operation ``housekeeping``: removes what is old, says what it was, and tells when the home is too large."""

from __future__ import annotations

import logging

from pipelines.artifacts import Outcome
from pipelines.errors import AimassError
from pipelines.housekeeping.retention import GB, PARTS, TidyReport, tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings

SIZE = "home-size"
"""Key of the alert that the home is larger than it may be."""
NAMED = 4
"""Parts of the home that the alert names."""
RESULT_ITEMS = 200
"""Things that the result lists; the log has all of them."""

log = logging.getLogger(__name__)


def run(spec: HousekeepingSpec, *, settings: Settings) -> Outcome:
    """Remove what is old.

    Raises
    ------
    AimassError
        Something could not be removed; the rest was.
    """
    report = housekeep(settings, spec)
    if report.failed:
        raise AimassError(
            "housekeeping could not remove everything",
            where=str(settings.home),
            seen=f"{len(report.failed)} of {len(report.items)} things stay",
            cure="do what the lines below say; the next housekeeping tries again",
            faults=list(report.failed),
        )
    stats = report.model_dump(mode="json")
    return Outcome(stats={**stats, "items": stats["items"][:RESULT_ITEMS]})


def housekeep(settings: Settings, spec: HousekeepingSpec) -> TidyReport:
    """Remove what is old, log each thing, and open or resolve the alert about the size of the home."""
    report = tidy(settings, spec)
    for item in report.items:
        log.info("%s: %s %s, %s: %s", _does(spec), item.kind, item.what, megabytes(item.bytes), item.why)
    log.info(report.model_dump_json(exclude={"items"}))
    if not spec.dry_run:
        with Ledger.open(settings) as ledger:
            if report.size > report.limit:
                ledger.alert(None, "size", too_large(report), SIZE, about=list(report.holding)[:NAMED])
            else:
                ledger.resolve_alert(None, SIZE)
    return report


def too_large(report: TidyReport) -> str:
    """Return what the alert says: what holds the space, and what to do."""
    parts = [f"{PARTS.get(name, name)} ({name}) {megabytes(size)}" for name, size in report.holding.items()][:NAMED]
    return (
        f"the home has {megabytes(report.size)}, {megabytes(report.limit)} are allowed, and nothing more may go; "
        f"most is held by {', '.join(parts)}. aimass delete NAME --version V removes versions, AIMASS_BACKUPS_FOLDER "
        "moves the backups elsewhere, HousekeepingSpec(max_gb=…) in dags/housekeeping.py allows more"
    )


def megabytes(size: int) -> str:
    """Return a size in words.

    >>> megabytes(1_234_567), megabytes(2_500_000_000), megabytes(120)
    ('1.2 MB', '2.5 GB', '120 bytes')
    """
    if size < 100_000:
        return f"{size} bytes" if size < 1_000 else f"{size / 1e3:.0f} kB"
    return f"{size / GB:.1f} GB" if size >= GB else f"{size / 1e6:.1f} MB"


def _does(spec: HousekeepingSpec) -> str:
    return "would remove" if spec.dry_run else "removed"
