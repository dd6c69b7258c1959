"""Models that a person may need: about the same target, entity or sources, or called by those with similar calls.

What a model shares with one that the person uses, likes or has seen counts by how rare it is: a key that all models
have says nothing. Callers count likewise: whoever calls every model shows nothing that belongs together.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.ledger import Ledger
from pipelines.ledger.preferences import MadeOf

DAYS = 90
"""Days whose calls count."""
SEEN = 20
"""Models seen last that others may be recommended for."""
CENTER = "model-center:"
"""How the tokens of the Model Center begin; the rest is the name of the person."""
LEAST = 0.3
"""Of 1: how rare what is shared must be, and how alike the callers, for a model to be recommended."""
LEAST_CALLERS = 2
TABLE = re.compile(r"\b(?:from|join)\s+([\w.\"]+)", re.IGNORECASE)
SAME = {"target": "same target", "entity": "same entity", "source": "same source"}


@dataclass(frozen=True)
class Recommendation:
    """A model, how much speaks for it (0 to 4), and what."""

    model: str
    score: float
    reasons: list[str]


def recommend(ledger: Ledger, person: str, visible: Collection[str], most: int = 5) -> list[Recommendation]:
    """Return models that a person does not use yet, best first.

    Parameters
    ----------
    visible
        Models that the person may see; no other is recommended.
    """
    liked = ledger.preferences(person)
    since = (datetime.now(UTC) - timedelta(days=DAYS)).date()
    calls = calls_by_holder(ledger.calls_by_token(since))
    used = {model for model, by in calls.items() if person in by}
    used |= {row.model for row in liked if row.favourite_at is not None}
    seen = sorted(((row.seen_at, row.model) for row in liked if row.seen_at is not None), reverse=True)
    bases = (used | {model for _, model in seen[:SEEN]}) & set(visible)  # a reason names one
    likeness = Likeness(ledger.made_of(), calls, person)
    found = []
    for model in sorted(set(visible) - used):
        reasons: dict[str, tuple[float, str]] = {}
        for base in sorted(bases - {model}):
            for kind, weight, text in likeness.reasons(model, base):
                if weight > reasons.get(kind, (0.0, ""))[0]:
                    reasons[kind] = weight, text
        if reasons:
            ordered = sorted(reasons.values(), reverse=True)
            found.append(Recommendation(model, sum(weight for weight, _ in ordered), [text for _, text in ordered]))
    return sorted(found, key=lambda each: (-each.score, each.model))[:most]


def calls_by_holder(rows: Iterable[tuple[str, str | None, str, int]]) -> dict[str, dict[str, int]]:
    """Return the requests by model and whoever made them: a person with several tokens is one, another token too."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for token, person, model, requests in rows:
        found[model][person or token.removeprefix(CENTER)] += requests
    return {model: dict(by) for model, by in found.items()}


def features(row: MadeOf) -> dict[str, set[str]]:
    """Return what a model is about, by kind: target, entity (its key), sources."""
    return {
        "target": {row.target} if row.target else set(),
        "entity": {", ".join(sorted(row.key))} if row.key else set(),
        "source": set(_sources(row.ingest or {})),
    }


def _sources(spec: Mapping[str, Any]) -> Iterable[str]:
    """Return the files and tables that an ingest reads."""
    joins = [join for join in spec.get("joins") or () if isinstance(join, dict)]
    for source in [spec.get("source"), *(join.get("source") for join in joins)]:
        if not isinstance(source, dict):
            continue
        if source.get("path"):
            yield str(source["path"])
        for table in TABLE.findall(str(source.get("query") or "")):
            yield f"{source.get('connection', '')}:{table}".replace('"', "").lower()


def rarity(shared_by: int, of: int) -> float:
    """Return how much it says that two have in common what some of all have: nearly 1 for two of many, 0 for all.

    >>> rarity(2, 200) > 0.8, rarity(200, 200) < 0.01, rarity(2, 2) > LEAST
    (True, True, True)
    """
    return math.log((of + 1) / shared_by) / math.log(of + 1)


def _telling(counts: Mapping[str, int], of: int) -> dict[str, float]:
    """Return how rare each is, of those that are rare enough to say something."""
    return {each: weight for each, count in counts.items() if (weight := rarity(count, of)) >= LEAST}


class Likeness:
    """How alike models are, without what one person does.

    Parameters
    ----------
    about
        What each model is about.
    calls
        Requests by model and whoever made them.
    person
        Whose own calls do not count.
    """

    def __init__(self, about: Iterable[MadeOf], calls: Mapping[str, Mapping[str, int]], person: str) -> None:
        self._about = {row.model: features(row) for row in about}
        known = {kind: Counter(each for kinds in self._about.values() for each in kinds[kind]) for kind in SAME}
        self._telling = {kind: _telling(count, len(self._about)) for kind, count in known.items()}
        breadth = Counter(holder for by in calls.values() for holder in by if holder != person)
        telling = _telling(breadth, len(calls))
        self._vectors = {
            model: {each: math.log1p(count) * telling[each] for each, count in by.items() if each in telling}
            for model, by in calls.items()
        }
        self._lengths = {model: math.hypot(*vector.values()) for model, vector in self._vectors.items()}

    def reasons(self, model: str, base: str) -> Iterable[tuple[str, float, str]]:
        """Return why a model may be needed by who knows another one: kind, weight, words."""
        one, other = self._about.get(model), self._about.get(base)
        for kind, words in SAME.items():
            shared = one[kind] & other[kind] & self._telling[kind].keys() if one and other else set()
            if shared:
                best = min(shared, key=lambda each: (-self._telling[kind][each], each))
                yield kind, self._telling[kind][best], f"{words} as {base}: {best}"
        alike, callers = self.callers(model, base)
        if alike >= LEAST:
            yield "callers", alike, f"{callers} others call both this and {base}"

    def callers(self, model: str, base: str) -> tuple[float, int]:
        """Return how alike the callers of two models are (0 to 1, a cosine), and how many others call both."""
        one, other = self._vectors.get(model, {}), self._vectors.get(base, {})
        shared = one.keys() & other.keys()
        if len(shared) < LEAST_CALLERS:
            return 0.0, len(shared)
        length = self._lengths[model] * self._lengths[base]
        return (sum(one[each] * other[each] for each in shared) / length if length else 0.0), len(shared)
