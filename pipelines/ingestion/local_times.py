"""Times without a zone, read in the zone of the model (``ModelSpec.zone``), as SQL.

A time that the clocks show twice, as they are put back, is the later of the two: nothing is known too early. One that
they skip, as they are put forward, is read as if they had not been put forward yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.inference.recipe.dates import EPOCHS
from pipelines.quoting import literal

_NAMED = "([Zz]|UTC|GMT)"
_CLOCK = rf":[0-9]{{2}}([.,][0-9]+)?( ?[AaPp][Mm])? ?({_NAMED}|[+-][0-9]{{2}}(:?[0-9]{{2}})?)"
_PLAIN = r"[0-9]{4}([.,][0-9]+)? ?[+-][0-9]{2}:?[0-9]{2}"
_COUNT = r"^\s*-?[0-9]+([.][0-9]*)?"


def in_zone(sql: str, zone: str) -> str:
    """Return the SQL of moments without a zone as TIMESTAMPTZ."""
    if zone == "UTC":
        return f"CAST({sql} AS TIMESTAMPTZ)"
    return f"timezone({literal(zone)}, CAST({sql} AS TIMESTAMP))"


def texts_in_zone(sql: str, text: str, zone: str, formats: Sequence[str]) -> str:
    """Return the SQL of what was read from texts as TIMESTAMPTZ; texts that say their zone are in UTC already.

    Parameters
    ----------
    sql
        Of the moments that were read.
    text
        Of the texts.
    formats
        What they were read by; counts from 1970 are in UTC.
    """
    if zone == "UTC":
        return in_zone(sql, zone)
    patterns = [_CLOCK, f"[0-9] ?{_NAMED}"]
    if any("%z" in known for known in formats):
        patterns.append(_PLAIN)
    if any(known in EPOCHS or re.search("%-?s", known) for known in formats):
        patterns.append(_COUNT)
    pattern = literal(rf"({'|'.join(patterns)})\s*$")
    says_it = f"regexp_matches({text}, {pattern})"
    return f"CASE WHEN {says_it} THEN {in_zone(sql, 'UTC')} ELSE {in_zone(sql, zone)} END"
