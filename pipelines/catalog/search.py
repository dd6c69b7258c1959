"""Full-text search over the catalog: every word must be found somewhere; where it is found decides the order.

It runs here rather than in the database: it is the same on SQLite and PostgreSQL, folds letters of all languages, and a
quote or a percent sign is a character like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.catalog.entries import Entry, entries
from pipelines.ledger import Ledger

LONGEST = 200
"""Characters of a search that are looked at."""
WORDS = 12
WEIGHTS = {
    "name": 10.0,
    "tags": 6.0,
    "domain": 5.0,
    "owner": 5.0,
    "use cases": 4.0,
    "columns": 4.0,
    "target": 4.0,
    "description": 3.0,
    "task": 2.0,
    "licence": 1.0,
    "notes": 1.0,
}
WHOLE, START = 2.0, 1.5
"""How much more a word counts that is found as a whole, or at the start of one."""


@dataclass(frozen=True)
class Hit:
    """An entry that fits a search.

    Parameters
    ----------
    score
        How well; 0 without words to look for.
    where
        Names of the fields in which words were found.
    """

    entry: Entry
    score: float = 0.0
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """What an entry must have; empty: anything."""

    domain: str = ""
    tag: str = ""
    owner: str = ""
    archived: bool | None = False
    """Whether archived models are looked for; None: all."""

    def fits(self, entry: Entry) -> bool:
        """Tell whether an entry has all that."""
        return (
            self.domain.casefold() in ("", entry.domain.casefold())
            and self.owner.casefold() in ("", entry.owner.casefold())
            and (not self.tag or self.tag.casefold() in map(str.casefold, entry.tags))
            and self.archived in (None, bool(entry.archived))
        )


def search(ledger: Ledger, text: str = "", wanted: Filter | None = None) -> list[Hit]:
    """Return the entries that fit, the best first; without words by name."""
    words = words_of(text)
    notes = ledger.note_texts() if words else {}
    found = (each for each in entries(ledger) if (wanted or Filter()).fits(each))
    return rank(words, ((each, notes.get(each.model, "")) for each in found))


def words_of(text: str) -> list[str]:
    """Return the words of a search.

    >>> words_of('  Churn 100% "late"  churn ')
    ['churn', '100%', '"late"']
    """
    return list(dict.fromkeys(text[:LONGEST].casefold().split()))[:WORDS]


def rank(words: list[str], found: Iterable[tuple[Entry, str]]) -> list[Hit]:
    """Return the entries in which every word is found, the best first.

    Parameters
    ----------
    found
        Entries, each with the texts of its notes.
    """
    if not words:
        return [Hit(each) for each, _ in found]
    hits = [hit for each, notes in found if (hit := _hit(words, each, notes)) is not None]
    return sorted(hits, key=lambda hit: (-hit.score, hit.entry.model))


def _hit(words: list[str], entry: Entry, notes: str) -> Hit | None:
    texts = {name: text.casefold() for name, text in _texts(entry, notes).items() if text}
    total = 0.0
    where: dict[str, None] = {}
    for word in words:
        scores = {name: WEIGHTS[name] * _worth(word, text) for name, text in texts.items() if word in text}
        if not scores:
            return None
        best = max(scores, key=lambda name: scores[name])
        total, where = total + scores[best], {**where, best: None}
    return Hit(entry, round(total, 3), tuple(where))


def _texts(entry: Entry, notes: str) -> dict[str, str]:
    return {
        "name": entry.model,
        "tags": "\n".join(entry.tags),
        "domain": entry.domain,
        "owner": entry.owner,
        "use cases": "\n".join(entry.use_cases),
        "columns": "\n".join(entry.columns),
        "target": entry.target,
        "description": entry.description,
        "task": entry.task,
        "licence": entry.licence,
        "notes": notes,
    }


def _worth(word: str, text: str) -> float:
    """Return how well a word is found in a text that holds it; a name such as ``late_payments`` has two words."""
    at_start = rf"(?<![^\W_]){re.escape(word)}"
    if re.search(rf"{at_start}(?![^\W_])", text):
        return WHOLE
    return START if re.search(at_start, text) else 1.0
