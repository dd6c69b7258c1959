"""What becomes a feature: one small spec per step, in the order in which they are applied.

A step reads columns of the cleaned rows or outputs of earlier steps. A step that changes a column (impute, clip, scale,
transform, group) *keeps its name*: later steps read the result. A step that makes something new adds columns named
``<column>.<what>``; an encoding (one-hot, frequency, bins, date parts, …) stands for its column, which is then no
feature itself, while a combination (ratio, cross, age, …) leaves its columns to the other steps.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec

All = Literal["numbers", "categories", "dates"]
Columns = Annotated[tuple[str, ...], Field(min_length=1)]
DatePart = Literal["year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days"]
Cycle = Literal["month", "day", "weekday", "day_of_year", "hour"]
Share = Annotated[float, Field(ge=0, le=1)]


class Step(Spec):
    """What every step has."""

    consumes: ClassVar[bool] = False
    """Whether the step stands for the columns it reads: they are no features themselves then."""
    last: ClassVar[bool] = False
    """Whether the step follows ``auto``, and so sees every feature."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        columns = getattr(self, "columns", None)
        return tuple(columns) if isinstance(columns, tuple) else ()

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The columns that are no features themselves for it, unless a later step makes them so."""
        return self.names if self.consumes else ()

    @property
    def of_target(self) -> bool:
        """Whether the step reads the target."""
        return False


class _OfColumns(Step):
    columns: Columns | All
    """Columns to treat, each on its own; "numbers", "categories" or "dates": all of that kind in the source."""


# --- numbers -------------------------------------------------------------------------------------------------------


class Impute(_OfColumns):
    """Fill missing numbers."""

    kind: Literal["impute"] = "impute"
    how: Literal["median", "constant"] = "median"
    """The median of the training rows, or ``value``."""
    value: float = 0.0
    """What ``constant`` fills in, in the column's unit."""
    indicator: bool = False
    """Add ``<column>.missing``: 1 where the number was missing, else 0."""


class Standardise(_OfColumns):
    """Subtract the mean and divide by the standard deviation (weighted by inclusion)."""

    kind: Literal["standardise"] = "standardise"


class MinMax(_OfColumns):
    """Map the range seen in training to 0…1; values beyond lie outside, unless a Clip stands before."""

    kind: Literal["min_max"] = "min_max"


class Robust(_OfColumns):
    """Subtract the median and divide by the distance between two quantiles."""

    kind: Literal["robust"] = "robust"
    low: Share = 0.25
    """The lower quantile, as a share of the rows."""
    high: Share = 0.75
    """The upper quantile, as a share of the rows."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"'low' {self.low} is not below 'high' {self.high}")
        return self


class QuantileTransform(_OfColumns):
    """Replace a number by its rank among the training rows, as a share or as the normal score of that share."""

    kind: Literal["quantile"] = "quantile"
    to: Literal["uniform", "normal"] = "uniform"
    """0…1, or standard normal scores (cut at ±5.2)."""
    knots: Annotated[int, Field(ge=2, le=10_000)] = 1_000
    """Points of the rank curve that are kept; between them it is linear."""


class Power(_OfColumns):
    """Yeo-Johnson power transform, its lambda by maximum likelihood, then standardised."""

    kind: Literal["power"] = "power"


class Bin(_OfColumns):
    """Replace a number by the code of its interval, as ``<column>.bin``; missing is -1."""

    kind: Literal["bin"] = "bin"
    consumes: ClassVar[bool] = True
    bins: Annotated[int, Field(ge=2, le=10_000)] = 10
    """Most intervals; equal borders fall together."""
    how: Literal["quantile", "uniform"] = "quantile"
    """Intervals of equally many training rows, or of equal width."""


class Clip(_OfColumns):
    """Pull numbers beyond two limits to the limits."""

    kind: Literal["clip"] = "clip"
    low: Share | None = 0.01
    """Lower limit as a quantile of the training rows; None: none."""
    high: Share | None = 0.99
    """Upper limit as a quantile of the training rows; None: none."""
    at_least: float | None = None
    """Lower limit in the column's unit; goes before ``low``."""
    at_most: float | None = None
    """Upper limit in the column's unit; goes before ``high``."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"'low' {self.low} is not below 'high' {self.high}")
        if self.at_least is not None and self.at_most is not None and self.at_least >= self.at_most:
            raise ValueError(f"'at_least' {self.at_least} is not below 'at_most' {self.at_most}")
        return self


# --- categories ----------------------------------------------------------------------------------------------------


class Codes(_OfColumns):
    """The place of a text among the most frequent, as code ``<column>.code``; unseen and rare ones share the last."""

    kind: Literal["codes"] = "codes"
    consumes: ClassVar[bool] = True
    max_levels: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Most texts with a code of their own."""
    rare_count: Annotated[int, Field(ge=1)] = 5
    """Texts in fewer training rows than this have no code of their own."""


class OneHot(_OfColumns):
    """One column of 0 and 1 per text, ``<column>=<text>``, ``<column>.other`` and ``<column>.missing``."""

    kind: Literal["one_hot"] = "one_hot"
    consumes: ClassVar[bool] = True
    max_levels: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Most texts with a column of their own; the most frequent ones have it."""
    rare_count: Annotated[int, Field(ge=1)] = 1
    """Texts in fewer training rows than this have no column of their own."""
    unknown: bool = True
    """Add ``<column>.other``, 1 for unseen and rare texts; else they are 0 in every column."""


class Ordinal(_OfColumns):
    """The place of a text in a declared order, as number ``<column>.rank`` from 0; missing and unknown are NaN."""

    kind: Literal["ordinal"] = "ordinal"
    consumes: ClassVar[bool] = True
    order: Annotated[tuple[str, ...], Field(min_length=2)]
    """The texts from the least to the greatest, as they are after cleaning."""


class Frequency(_OfColumns):
    """The share of training rows with the same text, as ``<column>.frequency``; unseen is 0, missing its own share."""

    kind: Literal["frequency"] = "frequency"
    consumes: ClassVar[bool] = True


class Hashing(_OfColumns):
    """The text's hash as code ``<column>.hash``: nothing is learned, nothing is unseen; missing is -1."""

    kind: Literal["hashing"] = "hashing"
    consumes: ClassVar[bool] = True
    buckets: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    """Number of codes; texts that fall together are one to the learner."""
    seed: int = 0
    """Another seed lets other texts fall together."""


class RareGroup(_OfColumns):
    """Replace rare and unseen texts by one word; the column stays a category and keeps its name."""

    kind: Literal["rare_group"] = "rare_group"
    min_share: Share = 0.01
    """Texts in a smaller share of the non-missing training rows are rare."""
    min_count: Annotated[int, Field(ge=1)] = 1
    """Texts in fewer training rows are rare."""
    word: Annotated[str, Field(min_length=1)] = "(rare)"
    """What stands for them."""
    missing: str | None = None
    """What stands for missing cells; None: they stay missing."""


# --- dates ---------------------------------------------------------------------------------------------------------


class DateParts(_OfColumns):
    """Calendar parts of a date as numbers ``<column>.<part>``; weekday 0 is Monday."""

    kind: Literal["date_parts"] = "date_parts"
    consumes: ClassVar[bool] = True
    parts: Annotated[tuple[DatePart, ...], Field(min_length=1)] = ("year", "month", "day", "weekday", "hour")
    """Which parts, in order; elapsed_days counts from the first day seen in training."""


class Cycles(_OfColumns):
    """Sine and cosine of a date's place in a cycle, ``<column>.<cycle>_sin`` and ``…_cos``: 23 h lies beside 0 h."""

    kind: Literal["cycles"] = "cycles"
    consumes: ClassVar[bool] = True
    cycles: Annotated[tuple[Cycle, ...], Field(min_length=1)] = ("month", "weekday", "hour")
    """month: 12 a year; day: 31 a month; weekday: 7; day_of_year: 366; hour: 24 a day."""


class Age(_OfColumns):
    """Days (a fraction counts) from each date to another date of the row, as ``<column>.age``."""

    kind: Literal["age"] = "age"
    until: str | None = None
    """The later date column; None: the model's time column."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (*super().names, *([self.until] if self.until else []))


# --- text ----------------------------------------------------------------------------------------------------------


class HashedText(_OfColumns):
    """Hashed n-grams of a text, ``<column>.text_<bucket>``: how often a text has n-grams of each bucket."""

    kind: Literal["hashed_text"] = "hashed_text"
    consumes: ClassVar[bool] = True
    of: Literal["words", "characters"] = "words"
    """What an n-gram is made of; texts are lower-cased, words are runs of letters and digits."""
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


class TextLength(_OfColumns):
    """Characters and words of a text, ``<column>.characters`` and ``<column>.words``; NaN where missing."""

    kind: Literal["text_length"] = "text_length"


# --- combinations --------------------------------------------------------------------------------------------------


class Ratio(Step):
    """One number divided by another, ``<numerator>/<denominator>``; NaN where the denominator is 0."""

    kind: Literal["ratio"] = "ratio"
    numerator: str
    """Number column."""
    denominator: str
    """Number column."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.numerator, self.denominator)


class Difference(Step):
    """One number less another, ``<left>-<right>``."""

    kind: Literal["difference"] = "difference"
    left: str
    """Number column."""
    right: str
    """Number column."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.left, self.right)


class Cross(Step):
    """The texts of two or three categories together, a category named ``<a>*<b>``; missing where one is missing."""

    kind: Literal["cross"] = "cross"
    columns: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)]
    """Category columns, in this order."""


# --- what sees the target, the time or many features: targets, entities, selection, reduction ------------------------


class TargetEncode(_OfColumns):
    """The mean of the target by category, ``<column>.target`` (``….target=<class>`` by class of a multiclass model).

    A training row's value is learned from the other folds only. Missing is a category; unseen ones get the mean of all.
    """

    kind: Literal["target_encode"] = "target_encode"
    consumes: ClassVar[bool] = True
    together: bool = False
    """Take the columns together as one key, ``<a>*<b>.target``, instead of each on its own."""
    strength: Annotated[float, Field(ge=0)] | None = None
    """Weight of the overall mean, in rows; None: by how much categories differ beyond chance (empirical Bayes)."""

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The columns that are encoded, each on its own."""
        return () if self.together else self.names

    @property
    def of_target(self) -> bool:
        """Always: it is the target's mean."""
        return True


class _OfEntity(Step):
    entity: Columns
    """Columns that together name whom a row is about, such as ("dest",)."""
    delay_hours: Annotated[float, Field(ge=0)] = 24.0
    """Rows later than this before a row are not known to it yet; 0: all strictly earlier rows are."""
    value: str
    """Number column; of Rolling also the target."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (*self.entity, self.value)

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The column of the values."""
        return (self.value,)


class Lag(_OfEntity):
    """An entity's earlier value by event time, ``<value>.lag<steps>.<entity>``; when serving, the last one known.

    The value column itself is no feature unless another step makes it one, and need not be sent by callers.
    """

    kind: Literal["lag"] = "lag"
    steps: Annotated[int, Field(ge=1, le=1_000)] = 1
    """1: the latest known value; 2: the one before; missing values do not count."""


Aggregate = Literal["mean", "count", "min", "max", "sum", "std"]


class Rolling(_OfEntity):
    """Aggregates of an entity's earlier values by event time, ``<value>.<how>_<days>d.<entity>``.

    When serving, those of the last ``window_days`` of training. Of the target: of rows in other folds only, so folds
    must not be blocks of days far longer than the window (``SplitSpec.time_folds='hashed'`` makes others). The value
    column itself is no feature unless another step makes it one, and need not be sent by callers.
    """

    kind: Literal["rolling"] = "rolling"
    window_days: Annotated[float, Field(gt=0, le=36_500)] = 7.0
    """Length of the window, in days; it ends ``delay_hours`` before the row."""
    how: Annotated[tuple[Aggregate, ...], Field(min_length=1)] = ("mean", "count")
    """Aggregates, weighted by inclusion; of the target only mean, count and sum. std divides by the number of rows."""


class Select(Step):
    """Leaves out features that say little. By the target: decided on the other folds wherever a fold judges."""

    kind: Literal["select"] = "select"
    last: ClassVar[bool] = True
    by: Literal["variance", "correlation", "mutual_information", "shadow"]
    """What says little. variance: at most ``limit`` of it, numbers only. correlation: above ``limit`` with an earlier
    feature, numbers only. mutual_information: at most ``limit`` nats with the target. shadow: more important to boosted
    trees than the best of the features' shuffled copies in at most a share ``limit`` of the rounds (Boruta)."""
    limit: Annotated[float, Field(ge=0)] | None = None
    """Limit as said; None: variance 0, correlation 0.98, shadow 0.5, mutual_information what chance may give."""
    most: Annotated[int, Field(ge=1)] | None = None
    """Keep at most this many features, the best ones; mutual_information and shadow only."""
    always: tuple[str, ...] = ()
    """Features that are kept in any case; a name that no feature has is told among what is left out."""

    @property
    def of_target(self) -> bool:
        """Whether features are chosen by what they say of the target."""
        return self.by in ("mutual_information", "shadow")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.most is not None and self.by in ("variance", "correlation"):
            raise ValueError(f"'most' does not go with by={self.by!r}, which ranks nothing")
        if self.limit is not None and self.by in ("correlation", "shadow") and self.limit > 1:
            raise ValueError(f"'limit' {self.limit} is above 1")
        return self


class _Reduction(Step):
    last: ClassVar[bool] = True
    columns: Columns | None = None
    """Number features to reduce; None: all."""
    components: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Most components; fewer where there are fewer features."""
    keep: bool = False
    """Keep the reduced features beside the components."""


class Pca(_Reduction):
    """Principal components of number features, ``pca1`` …; missing numbers count as the mean."""

    kind: Literal["pca"] = "pca"
    standardise: bool = True
    """Give every feature the same variance first."""


class TruncatedSvd(_Reduction):
    """Singular vectors of number features, not centred, ``svd1`` …; missing numbers count as the mean."""

    kind: Literal["svd"] = "svd"
    standardise: bool = False
    """Divide every feature by its standard deviation first."""


AnyStep = Annotated[
    Impute
    | Standardise
    | MinMax
    | Robust
    | QuantileTransform
    | Power
    | Bin
    | Clip
    | Codes
    | OneHot
    | Ordinal
    | Frequency
    | Hashing
    | RareGroup
    | DateParts
    | Cycles
    | Age
    | HashedText
    | TextLength
    | Ratio
    | Difference
    | Cross
    | TargetEncode
    | Lag
    | Rolling
    | Select
    | Pca
    | TruncatedSvd,
    Field(discriminator="kind"),
]


class FeatureSpec(Spec):
    """How clean columns become numbers."""

    auto: bool = True
    """Treat the columns that no step names by what they look like; else they are left out."""
    steps: tuple[AnyStep, ...] = ()
    """What to make, in order; a step may read what an earlier one made."""
    max_categories: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Most categories of a column with a code of their own; the most frequent ones have it."""
    rare_count: Annotated[int, Field(ge=1)] = 5
    """Categories in fewer training rows than this share one code with unseen ones."""
    drop_unique_text: bool = True
    """Leave out category columns where nearly every row has its own text, such as identifiers."""
    unique_share: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of distinct texts among the non-missing from which a column counts as unique text."""
    date_parts: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "day_of_year", "hour")
    """Parts of a date that become features; the hour only where times of day occur. ``elapsed_days`` are at choice: no
    coming night's were ever seen, so trees learn from them when a row was, not what it is."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        chosen = False
        for step in self.steps:
            if chosen and isinstance(step, Pca | TruncatedSvd):
                raise ValueError(f"{step.kind} after a selection by the target would mix it in; put it before Select")
            chosen = chosen or (isinstance(step, Select) and step.of_target)
        return self
