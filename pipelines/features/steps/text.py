"""Steps on texts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.features.steps.base import OfColumns


class HashedText(OfColumns):
    """Hashed n-grams of a text, ``<column>.text_<bucket>``: how often a text has n-grams of each bucket."""

    kind: Literal["hashed_text"] = "hashed_text"
    consumes: ClassVar[bool] = True
    of: Literal["words", "characters"] = "words"
    """Unit of an n-gram; texts are lower-cased, words are runs of letters and digits."""
    ngrams: tuple[int, int] = (1, 1)
    """Shortest and longest n-gram, in words or characters."""
    buckets: Annotated[int, Field(ge=2, le=4_096)] = 64
    """Number of columns."""
    value: Literal["count", "binary", "log"] = "log"
    """The count, 1 where it is above 0, or log(1 + count)."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 1 <= self.ngrams[0] <= self.ngrams[1] <= 8:
            raise ValueError(f"'ngrams' {self.ngrams} is not a range within 1…8")
        return self


class TextLength(OfColumns):
    """Characters and words of a text, ``<column>.characters`` and ``<column>.words``; NaN where missing."""

    kind: Literal["text_length"] = "text_length"
