"""Published tables: which versions nights and versions of models still name, and which are old enough to go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from pipelines.errors import SpecError
from pipelines.housekeeping.items import Item, remove_path
from pipelines.housekeeping.nights import kept_nights
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.ledger.mart import MartRow
from pipelines.mart.tables import find
from pipelines.settings import Settings
from pipelines.storage import local_path, remote_of

ACTOR = "housekeeping"


def held(ledger: Ledger, nights: int) -> dict[tuple[str, int], str]:
    """Return why versions of published tables cannot expire: (table, version) → reason.

    Parameters
    ----------
    nights
        Newest nights of each model that housekeeping keeps.
    """
    found: dict[tuple[str, int], str] = {}
    kept: dict[str, set[str]] = {}
    made: dict[str, dict[str, int]] = {}
    for which, readers in ledger.mart_readers().items():
        for model, night in readers:
            if model not in kept:
                kept[model] = kept_nights(ledger, model, nights)
                made[model] = {row.night: row.version for row in ledger.versions(model)}
            if night in made[model]:
                found[which] = f"version {made[model][night]} of {model} was made of it"
            elif night in kept[model] and which not in found:
                found[which] = f"the night {night} of {model} read it"
    return found


def old_tables(settings: Settings, ledger: Ledger, spec: HousekeepingSpec, since: datetime) -> Iterator[Item]:
    """Yield the versions of published tables that are too old, but none that something names."""
    rows: dict[str, list[MartRow]] = {}
    for row in ledger.mart_tables():
        if row.expired_at is None:
            rows.setdefault(row.name, []).append(row)
    old = [row for found in rows.values() for row in found[: -spec.tables] if row.created_at < since]
    if not old:
        return
    named = held(ledger, spec.nights)
    why = f"older than the newest {spec.tables}, and neither a kept night nor a version was made of it"
    for row in old:
        if (row.name, row.version) not in named:
            remove = partial(_remove, settings, ledger, row, ACTOR, why)
            remote = remote_of(settings)
            what = f"storage/{row.uri}" if remote is None else remote.store.where(row.uri)
            yield Item("tables", f"{row.address} ({what})", row.bytes, why, remove, elsewhere=remote is not None)


def expire(settings: Settings, ledger: Ledger, address: str, nights: int, actor: str, why: str) -> Item:
    """Return a version of a published table as what is to be removed, by hand.

    Raises
    ------
    SpecError
        If there is none, it has expired, or something names it.
    """
    row = find(ledger, address)
    reason = held(ledger, nights).get((row.name, row.version))
    if reason is not None:
        raise SpecError(
            "this version of a published table cannot expire",
            where=row.address,
            seen=reason,
            expected="one that neither a kept night nor a version of a model was made of",
            cure="publish a newer one: who reads the newest version gets that; aimass delete removes a model's version",
        )
    return Item("tables", row.address, row.bytes, why, partial(_remove, settings, ledger, row, actor, why))


def _remove(settings: Settings, ledger: Ledger, row: MartRow, actor: str, why: str) -> bool:
    """Expire a version: first in the ledger, then its folder; a process that dies between leaves an orphan."""
    was_there = ledger.expire_table(row.name, row.version, actor, why)
    if (remote := remote_of(settings)) is not None:
        remote.remove(row.uri)
    remove_path(settings, local_path(settings, row.uri))
    return was_there
