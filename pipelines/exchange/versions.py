"""Which version is meant where none is named."""

from __future__ import annotations

from pipelines.catalog.verbs import MissingError
from pipelines.ledger import Ledger
from pipelines.ledger.rows import VersionRow


def wanted_version(ledger: Ledger, name: str, version: int | None) -> VersionRow:
    """Return a version; default: the live one, else the newest.

    Raises
    ------
    MissingError
        There is no such model or version.
    """
    known = ledger.versions(name)
    number = version or ledger.route(name) or (known[-1].version if known else None)
    row = next((each for each in known if each.version == number), None)
    if row is None:
        raise MissingError(
            "no such version" if known else "no such version: no such model has one",
            where=name[:63],
            seen=version or name[:63],
            expected=f"one of {', '.join(str(each.version) for each in known[-20:])}"
            if known
            else "a model with a version",
            cure=f"aimass versions {name}" if known else "aimass models",
        )
    return row
