"""Column names: each column gets a unique name, and names that differ only in form are matched."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from pipelines.errors import DataError
from pipelines.reserved_columns import RESERVED

_INDEX = re.compile(r"Unnamed: \d+[._\w]*|__index_level_\d+__")
"""Names that pandas gives to an unnamed index."""


def form(name: str) -> str:
    """Return a name without differences of case, blanks, line breaks and Unicode form."""
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def own_name(name: str, taken: Collection[str] = ()) -> str:
    """Return the name that a source column is read by: its own, with a ``_`` appended if the stages use it.

    >>> own_name("_key"), own_name("key")
    ('_key_', 'key')
    """
    while name.lower() in RESERVED or name in taken:
        name += "_"
    return name


def distinct(names: Sequence[str], where: str, wanted: Collection[str] = ()) -> tuple[tuple[str, ...], list[str]]:
    """Return a unique name for every column of a file, and a notice on each that was changed.

    A column without a name is called by its position, one with a name of the stages gets a ``_``, and the second and
    third of one name are ``a.1`` and ``a.2``. Names that differ in case are different names.

    Raises
    ------
    DataError
        If a name that is ``wanted`` occurs twice: which column is meant cannot be guessed.
    """
    counts = Counter(name for name in names if name)
    doubled = sorted(name for name in wanted if counts[name] > 1 and f"{name}.1" not in wanted)
    if doubled:
        raise DataError(
            "column names are doubled",
            where=where,
            seen=", ".join(f"{name!r} {counts[name]} times" for name in doubled),
            expected="each name that the model uses once",
            cure="rename the columns where the file is made, or declare header=True and 'columns' in Files",
        )
    taken = {name for name in names if name.lower() not in RESERVED}
    found: list[str] = []
    said: list[str] = []
    again: Counter[str] = Counter()
    for position, name in enumerate(names, start=1):
        again[name] += 1
        if not name:
            own = own_name(f"column_{position}", taken)
        elif again[name] > 1:
            number = again[name] - 1
            while f"{name}.{number}" in taken:
                number += 1
            own = f"{name}.{number}"
            said.append(f"column {position} is named {name!r} once more; read as {own!r}")
        elif name.lower() in RESERVED:
            own = own_name(name, taken)
            said.append(f"column {name!r} is read as {own!r}: the stages use that name themselves")
        else:
            own = name
        taken.add(own)
        found.append(own)
    return tuple(found), said


def without_indexes(
    names: Sequence[str], own: Sequence[str], counts: Sequence[bool], wanted: Collection[str] = ()
) -> tuple[tuple[int, ...], list[str]]:
    """Return the positions of a file's columns, without R's and pandas' index columns, and a line on each left out.

    Parameters
    ----------
    names, own
        What the file calls its columns, and what they are read by.
    counts
        Whether a column holds whole numbers, another one in every row.
    """
    left = [
        position
        for position, name in enumerate(names)
        if counts[position] and own[position] not in wanted and (not name or _INDEX.fullmatch(name))
    ]
    if len(left) == len(names):
        left = left[:-1]
    said = [
        f"column {position + 1} ({own[position]!r}) only numbers the rows and has no name of its own; left out"
        for position in left
    ]
    return tuple(position for position in range(len(names)) if position not in left), said


def matched(have: Iterable[str], want: Iterable[str]) -> dict[str, str]:
    """Return, for wanted names that are missing, the one column whose name differs only in form.

    >>> matched(["Age", "plan", "Plan"], ["age", "PLAN"])
    {'Age': 'age'}
    """
    there, looked_for = dict.fromkeys(have), dict.fromkeys(want)
    absent = _by_form(name for name in looked_for if name not in there)
    spare = _by_form(name for name in there if name not in looked_for) if absent else {}
    return {spare[key][0]: found[0] for key, found in absent.items() if len(found) == 1 == len(spare.get(key, ()))}


def _by_form(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(form(name), []).append(name)
    return found


def refuse_doubled(names: Sequence[str], where: object) -> None:
    """Raise if column names that were declared occur twice.

    Raises
    ------
    DataError
        Naming them.
    """
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubled:
        raise DataError(
            "column names are doubled",
            where=str(where),
            seen=", ".join(map(repr, doubled)),
            expected="each name once",
            cure="give the columns names of their own, in SQL with AS",
        )
