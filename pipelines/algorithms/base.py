"""The contract of an estimator family: learn one, know all."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from pipelines.algorithms.registry import ALGORITHMS
from pipelines.inference.members.registry import Member
from pipelines.spec import UNSUPERVISED

Array = NDArray[np.float64]
Params = dict[str, Any]
ClassIndices = NDArray[np.intp]
"""Indices of the classes that some rows have, ascending; empty for a regression."""

FIXED_BYTES = 64 * 2**20
"""What a fit needs however few the rows: libraries, buffers, trees."""
FEW_ROWS = 3_000
"""Rows up to which a fold's own rows do not say how far its fit grows when it is judged: the other folds' do."""
MORE_ITERATIONS = 1.1
MANY_COLUMNS = 500
"""Columns from which on boosters cut numbers into fewer intervals."""


class OutOfTimeError(Exception):
    """The time given to a fit ended before there was anything to keep; ``needs``: seconds that would do, if known."""

    needs: float = 0.0


class Dataset(NamedTuple):
    """Rows of one side of a fold: ``X`` (n, p) with NaN, ``y`` (n,) value or class index, ``w`` (n,) weight."""

    X: Array
    y: Array
    w: Array


@dataclass(frozen=True)
class TaskInfo:
    """What a family needs to know of the data before it sees a row.

    ``kinds`` holds "number" or "code" per column; ``cardinality`` the number of codes (0 for numbers).
    ``classes`` is 0 for regression; with two of them ``task`` is binary whatever the model declares, for a night's
    rows may have lost all but two of its classes. ``nonnegative``: a regression on numbers none of which is below 0,
    counts and amounts, so that the logarithm may be what is learned.
    """

    task: str
    metric: str
    classes: int
    rows: int
    kinds: tuple[str, ...]
    cardinality: tuple[int, ...]
    nonnegative: bool = False

    def __post_init__(self) -> None:
        """Take two of many classes for what they are."""
        if self.task == "multiclass" and self.classes == 2:
            object.__setattr__(self, "task", "binary")

    @property
    def codes(self) -> tuple[int, ...]:
        """Positions of the code columns."""
        return tuple(index for index, kind in enumerate(self.kinds) if kind == "code")

    @property
    def outputs(self) -> int:
        """Columns of an out-of-fold prediction: 1, or one per class.

        None without a target: what fits on other rows call their clusters or components cannot be put together.
        """
        return 0 if self.task in UNSUPERVISED else max(1, self.classes)


@dataclass
class Limit:
    """What a fit may take: at ``soft`` a family stops growing and keeps what it has, at ``hard`` it gives up.

    Both are moments of ``time.time``; without them nothing depends on the clock. ``gpu_share`` is the share of a GPU's
    memory that a fit on one may hold, for others may be at work on it. By ``until`` this fit and others to come,
    ``fits`` in all, must have grown a little, or what they take is for nothing.
    """

    soft: float | None = None
    hard: float | None = None
    gpu_share: float = 1.0
    until: float | None = None
    fits: int = 1
    began: float = field(default_factory=time.time)
    _first: float = field(default=0.0, init=False)

    def ripe(self) -> bool:
        """Whether the family should stop growing."""
        return self.soft is not None and time.time() >= self.soft

    def check(self) -> None:
        """Raise ``OutOfTimeError`` once the hard end has passed."""
        if self.hard is not None and time.time() >= self.hard:
            raise OutOfTimeError

    def check_pace(self, grown: int, least: int) -> None:
        """Raise ``OutOfTimeError`` if ``least`` iterations of every fit will not be done by ``until``.

        Parameters
        ----------
        grown
            Iterations so far; the first one tells no pace, for it comes with all that is done once.
        """
        now = time.time()
        if self.until is None or grown > least:
            return
        if grown == 1:
            self._first = now
            return
        each = (self._first - self.began) + (now - self._first) / (grown - 1) * (least - 1)
        if self.began + each * self.fits > self.until:
            raise too_slow(each, self.fits, self.until - self.began)


def too_slow(each: float, fits: int, seconds: float) -> OutOfTimeError:
    """Make the error of fits that would not all end in the seconds that there are."""
    error = OutOfTimeError(
        f"a fit takes {each:.1f} s even if it grows little, {fits} of them more than the {seconds:.1f} s that were left"
    )
    error.needs = each * fits
    return error


@dataclass(frozen=True)
class FitContext:
    """Under what a family fits: nothing of the data or the settings.

    ``device`` is one of the family's ``devices``. On a gpu the same seed need not give the same bytes.
    """

    seed: int = 0
    threads: int = 1
    limit: Limit = field(default_factory=Limit)
    device: str = "cpu"


@dataclass
class Fitted:
    """A fitted estimator: ``member`` predicts, ``learned`` holds what a later fit on more rows needs to know."""

    family: str
    member: Member
    learned: dict[str, float] = field(default_factory=dict)

    def predict(self, X: Array) -> Array:
        """Predict; (n,) for regression, else (n, classes) probabilities."""
        return self.member.predict(X)

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the member in its open format and return its entry for ``model.json``."""
        return self.member.save(folder, stem)


class Family(ABC):
    """One way of learning.

    A family is a module with one subclass, listed in ``registry.ALGORITHMS``, which says what it can learn and what it
    needs. The module imports its library inside the methods that use it, so that the class can be had without it.

    Attributes
    ----------
    devices
        Where it can be fitted: cpu, and gpu where it can use one.
    gpu_rows
        Rows of a table from which on a fit on a GPU is faster than on one core; smaller ones are not taken there.
    most_rows
        Rows of the largest table on which it takes part without being named in ``TuneSpec.families``. A family with
        such a bound is slow for what it brings on most tables: its first trial, too, may be given up after a fold.
    """

    name: ClassVar[str]
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    gpu_rows: ClassVar[int] = 0
    most_rows: ClassVar[int | None] = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Modules that a fit imports."""
        return ALGORITHMS[self.name].needs

    @abstractmethod
    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return configurations that are good everywhere, the best first; all lie inside ``space``."""

    @abstractmethod
    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space; every configuration of the portfolio has exactly these names."""

    @abstractmethod
    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Fit on ``train``; ``valid`` may stop the growth early and is not learned from otherwise."""

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the most bytes that a fit on ``shape.rows`` rows needs, the rows themselves not included."""
        return FIXED_BYTES + 3 * matrix_bytes(shape)

    def default(self, shape: TaskInfo) -> Params:
        """Return the configuration that is tried first."""
        return self.portfolio(shape)[0]

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Return the parameters of the refit on all rows, from what the folds' fits have learned."""
        return dict(params)


class Wrapped(Family):
    """Another family with something changed about its space or its fits."""

    def __init__(self, inner: Family) -> None:
        self.inner = inner
        self.name, self.devices = inner.name, inner.devices  # type: ignore[misc]  # it stands in front of it
        self.most_rows, self.gpu_rows = inner.most_rows, inner.gpu_rows  # type: ignore[misc]  # likewise

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the family's own need."""
        return self.inner.memory(shape)

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Settle the family's own parameters."""
        return self.inner.settle(params, learned)


def intervals(shape: TaskInfo, most: int, least: int) -> int:
    """Return into how many intervals numbers are cut: fewer on wide tables, where they cost much time and memory."""
    return max(least, min(most, most * MANY_COLUMNS // max(1, len(shape.kinds))))


def matrix_bytes(shape: TaskInfo) -> int:
    """Return the bytes of all rows as a matrix of floats."""
    return 8 * shape.rows * max(1, len(shape.kinds))


def seen_classes(y: Array, shape: TaskInfo) -> tuple[ClassIndices, Array]:
    """Return the classes that ``y`` has and ``y`` counted among them; a regression's ``y`` is left alone.

    For libraries that want classes without gaps; ``expand`` is the way back.
    """
    if not shape.classes:
        return np.empty(0, dtype=np.intp), y
    present, inverse = np.unique(y.astype(np.intp), return_inverse=True)
    return present, inverse.astype(np.float64)


def judged_part(valid: Dataset | None, present: ClassIndices, shape: TaskInfo) -> Dataset | None:
    """Return the validation rows of classes that training rows have, ``y`` counted among those; None if there are none.

    The libraries refuse a label that they did not learn.
    """
    if valid is None or not len(valid.y):
        return None
    if not shape.classes:
        return valid
    known = np.isin(valid.y, present)
    if not known.any():
        return None
    return Dataset(valid.X[known], np.searchsorted(present, valid.y[known]).astype(np.float64), valid.w[known])


def settled_iterations(learned: Sequence[Mapping[str, float]], otherwise: int = 200) -> int:
    """Return the number of iterations of a refit on all rows: a tenth above the upper quartile of the folds' fits.

    All rows bear more iterations than the share of them that a fold's fit has. A fold that differs from the others
    stops early whatever the settings, and says little; too few iterations cost much more than too many.
    """
    if not learned:
        return otherwise
    return max(1, round(MORE_ITERATIONS * float(np.quantile([entry["iterations"] for entry in learned], 0.75))))


def expand(probabilities: Array, present: Array, classes: int) -> Array:
    """Put the columns of the classes that were present, given by index, among all ``classes``; absent ones are 0."""
    if probabilities.shape[1] == classes:
        return probabilities
    full = np.zeros((len(probabilities), classes))
    full[:, present.astype(np.intp)] = probabilities
    return full
