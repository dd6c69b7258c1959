"""Steps on categories."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.features.steps.base import OfColumns, Share


class Codes(OfColumns):
    """The rank of a text among the most frequent, as code ``<column>.code``; unseen and rare ones share the last."""

    kind: Literal["codes"] = "codes"
    consumes: ClassVar[bool] = True
    max_levels: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Most texts with a code of their own."""
    rare_count: Annotated[int, Field(ge=1)] = 5
    """Texts in fewer training rows than this have no code of their own."""


class OneHot(OfColumns):
    """One column of 0 and 1 per text, ``<column>=<text>``, ``<column>.other`` and ``<column>.missing``."""

    kind: Literal["one_hot"] = "one_hot"
    consumes: ClassVar[bool] = True
    max_levels: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Most texts with a column of their own; the most frequent ones have it."""
    rare_count: Annotated[int, Field(ge=1)] = 1
    """Texts in fewer training rows than this have no column of their own."""
    unknown: bool = True
    """Add ``<column>.other``, 1 for unseen and rare texts; else they are 0 in every column."""


class Ordinal(OfColumns):
    """The index of a text in a declared order, as number ``<column>.rank`` from 0; missing and unknown are NaN."""

    kind: Literal["ordinal"] = "ordinal"
    consumes: ClassVar[bool] = True
    order: Annotated[tuple[str, ...], Field(min_length=2)]
    """The texts from the least to the greatest, as they are after cleaning."""


class Frequency(OfColumns):
    """The share of training rows with the same text, as ``<column>.frequency``; unseen is 0, missing its own share."""

    kind: Literal["frequency"] = "frequency"
    consumes: ClassVar[bool] = True


class Hashing(OfColumns):
    """The text's hash as code ``<column>.hash``: nothing is learned, nothing is unseen; missing is -1."""

    kind: Literal["hashing"] = "hashing"
    consumes: ClassVar[bool] = True
    buckets: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    """Number of codes; texts with the same code are not distinguished."""
    seed: int = 0
    """Seed of the hash; it decides which texts share a code."""


class RareGroup(OfColumns):
    """Replace rare and unseen texts by one word; the column stays a category and keeps its name."""

    kind: Literal["rare_group"] = "rare_group"
    min_share: Share = 0.01
    """Texts in a smaller share of the non-missing training rows are rare."""
    min_count: Annotated[int, Field(ge=1)] = 1
    """Texts in fewer training rows are rare."""
    word: Annotated[str, Field(min_length=1)] = "(rare)"
    """The word that replaces them."""
    missing: str | None = None
    """The word that replaces missing cells; None: they stay missing."""
