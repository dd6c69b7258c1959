"""Makes published tables readable in a home of its own, such as that of a dry run, which sees no others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable

from pipelines import storage
from pipelines.ledger import Ledger
from pipelines.mart.address import NAME, PREFIX
from pipelines.mart.tables import find
from pipelines.settings import Settings, make_private
from pipelines.storage.file_io import link_or_copy

_NAMED = re.compile(rf"\b{PREFIX}{NAME}(?:@[0-9]+)?")


def named_in(text: str) -> list[str]:
    """Return the addresses of published tables in a text, such as that of a DAG file."""
    return list(dict.fromkeys(_NAMED.findall(text)))


def lend(settings: Settings, other: Settings, addresses: Iterable[str]) -> None:
    """Let another home read published tables of this one; files are linked where they can be.

    Raises
    ------
    SpecError, DataError
        As :func:`pipelines.mart.tables.find` does.
    """
    wanted = list(addresses)
    if not wanted:
        return
    with Ledger.open(settings) as ledger, Ledger.open(other) as own:
        rows = {row.address: row for row in (find(ledger, address) for address in wanted)}
        for row in rows.values():
            source, target = storage.resolve(settings, row.uri), storage.local_path(other, row.uri)
            if source.is_dir() and not target.exists():
                make_private(target.parent)
                shutil.copytree(source, target, copy_function=link_or_copy)
        if settings.ledger_address != other.ledger_address:
            ledger.copy_tables(rows.values(), own)
