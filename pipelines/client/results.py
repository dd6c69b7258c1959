"""What the calls return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CellWarning:
    """One doubtful cell: it was predicted with, but may not be what was meant.

    Parameters
    ----------
    row
        Number of the row in the whole input, from 0.
    column
        Its column.
    kind
        ``unreadable``, ``unseen``, ``out_of_range`` or ``missing``.
    """

    row: int
    column: str
    kind: str


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one request.

    Parameters
    ----------
    first_row
        Number of its first row in the whole input, from 0.
    rows
        How many there are.
    model_version
        That predicted them.
    request_id
        Id in the gateway's logs.
    """

    first_row: int
    rows: int
    model_version: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of all rows, in their order.

    Parameters
    ----------
    predictions
        One object per row: ``prediction`` and, by task, ``probability``, ``probabilities`` or ``components``.
    parts
        The requests that they come from.
    warnings
        Doubtful cells, by row.

    Examples
    --------
    >>> found = Predictions([{"prediction": "yes", "probability": 0.9}], (Part(0, 1, 3, "7f"),), ())
    >>> found.values, found.probabilities, found.model_version, found.request_ids
    (['yes'], [0.9], 3, ('7f',))
    """

    predictions: list[dict[str, Any]]
    parts: tuple[Part, ...]
    warnings: tuple[CellWarning, ...]

    @property
    def values(self) -> list[Any]:
        """The predicted label, number or cluster of each row; of a reduction its components."""
        return [row["prediction"] if "prediction" in row else row["components"] for row in self.predictions]

    @property
    def probabilities(self) -> list[Any]:
        """Of two classes the probability of the positive one, of several {label: probability}, of other tasks None."""
        return [row.get("probabilities", row.get("probability")) for row in self.predictions]

    @property
    def model_versions(self) -> tuple[int, ...]:
        """The versions that predicted, each once: more than one where another went live between two requests."""
        return tuple(dict.fromkeys(part.model_version for part in self.parts))

    @property
    def model_version(self) -> int | None:
        """The version that predicted all rows; None where there is no row, or more than one version."""
        versions = self.model_versions
        return versions[0] if len(versions) == 1 else None

    @property
    def request_ids(self) -> tuple[str, ...]:
        """Ids of the requests, in the order of the rows."""
        return tuple(part.request_id for part in self.parts)

    def __len__(self) -> int:
        return len(self.predictions)


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one row got its prediction.

    Parameters
    ----------
    steps
        Raw row, features, members and combination, as ``aimass explain --json`` prints them.
    model_version, request_id
        Which version explains, and the id in the gateway's logs.
    """

    steps: Mapping[str, Any]
    model_version: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the token is for.

    Parameters
    ----------
    name
        Its name.
    live_version
        The version that is live; None before one is live.
    served_versions
        All that can be asked for by number.
    ready
        Whether it is ready.
    """

    name: str
    live_version: int | None
    served_versions: tuple[int, ...]
    ready: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a model reads.

    Parameters
    ----------
    name, kind
        ``number``, ``category``, ``date`` or ``text``.
    optional
        Whether a row may lack it.
    low, high
        Of a number: range of the training rows; None where it is not known.
    levels
        Of a category: all that training knew; None where there are too many.
    """

    name: str
    kind: str
    optional: bool
    low: float | None
    high: float | None
    levels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a version is asked with.

    Parameters
    ----------
    model, version, task
        Which one, and what it predicts.
    classes, positive
        Labels; the one whose probability is returned where there are two.
    columns
        What a row holds.
    example
        One row that can be sent.
    facts
        All that the gateway says, a ``curl`` line included.
    """

    model: str
    version: int
    task: str
    classes: tuple[str, ...]
    positive: str | None
    columns: tuple[Column, ...]
    example: Mapping[str, Any]
    facts: Mapping[str, Any]
