"""The training rows as a step's fitting sees them: one column at a time, after the earlier steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dask_cluster import on_each
from pipelines.dask_files import give, take
from pipelines.inference.operations.base import Numbers, Operation, encoded, live
from pipelines.inference.recipe.arrays import one_array


class Part(Protocol):
    """One partition."""

    def to_table(self, columns: Sequence[str] | None = None, use_threads: bool = False) -> pa.Table:
        """Read it, all columns or some."""

    def count_rows(self) -> int:
        """Return the number of its rows."""


T = TypeVar("T")


@dataclass(frozen=True)
class FittedStep:
    """The result of fitting a step.

    Parameters
    ----------
    operations
        FittedStep on all training rows; applied in this order after those of earlier steps.
    training
        By name of an output: (n,) float64 in row order, which the training table has instead of what the operation
        gives there. For whatever sees the target or the time (cross-fitted on ``_fold``, or as of each row).
    dropped
        Features that are none any more, with the reason.
    how
        By name of an output: how it came about, in a few words; goes to the report.
    """

    operations: tuple[Operation, ...] = ()
    training: Mapping[str, Numbers] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)
    by_fold: Mapping[str, Callable[[int], Numbers]] = field(default_factory=dict)
    """By name of an output in ``training``: gives for a fold (n,) values that hold nothing of the labels of that fold,
    for judging on it what is learned from the others."""
    dropped_by_fold: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """By fold: the features that are none when that fold judges, with the reason; else ``dropped`` holds there too."""


@dataclass(frozen=True)
class TrainingData:
    """The training rows, and the operations fitted so far.

    Parameters
    ----------
    parts
        Partitions in row order: clean columns, and the stamps ``_key``, ``_time``, ``_fold``, ``_weight``, ``_y``.
    kinds
        The columns there are now, sources and outputs: name to number, code, category or date.
    classes
        Labels in the order of their index; None for a regression.
    seed
        Seed of everything random.
    scratch
        A folder for training-only columns; removed by who made it.
    time
        Name of the model's time column, if it is dated and the column is a source.
    target
        Name of the target column.
    operations
        In order.
    outputs, outputs_by_fold
        For steps after ``auto``: the features there are; and, once a step has chosen by the target, those that are
        features when a fold judges.
    """

    parts: tuple[Part, ...]
    kinds: Mapping[str, str]
    classes: Sequence[str] | None
    seed: int
    scratch: Path
    time: str | None = None
    target: str = ""
    operations: tuple[Operation, ...] = ()
    outputs: tuple[str, ...] = ()
    outputs_by_fold: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    _training: Mapping[int, Mapping[str, Path]] = field(default_factory=dict)
    _by_fold: Mapping[int, Mapping[int, Mapping[str, Path]]] = field(default_factory=dict)

    @cached_property
    def _starts(self) -> list[int]:
        """Row number of each partition's first row, and the number of rows."""
        sizes = [_rows(part) for part in self.parts]
        return [0, *np.cumsum(sizes).tolist()]

    @property
    def rows(self) -> int:
        """Number of training rows."""
        return self._starts[-1]

    def column(self, name: str) -> Any:
        """Return one whole column in the form of its kind (see ``inference.operations.base``), cross-fitted or not."""
        return joined([self.part(index, [name])[name] for index in range(len(self.parts))])

    def stamp(self, name: str) -> pa.Array:
        """Return one whole stamp (``_key``, ``_time``, ``_fold``, ``_weight``, ``_y``) as it is in the table."""
        return one_array(
            pa.chunked_array(
                [c for p in self.parts for c in p.to_table(columns=[name], use_threads=False)[name].chunks]
            )
        )

    def y(self) -> Numbers:
        """Return (n,) float64: the label's value, or the index of its class."""
        labels = self.stamp("_y")
        if self.classes is not None:
            labels = pc.index_in(labels, value_set=pa.array(self.classes, labels.type))
        return _numbers(labels)

    def weight(self) -> Numbers:
        """Return (n,) float64: 1 / probability with which the sample took the row."""
        return _numbers(self.stamp("_weight"))

    def fold(self) -> npt.NDArray[np.int8]:
        """Return (n,) int8: the fold that holds the row out; a negative one never does."""
        return np.asarray(self.stamp("_fold").to_numpy(zero_copy_only=False), dtype=np.int8)

    @cached_property
    def judges(self) -> list[int]:
        """The folds that are held out in turn."""
        return [int(fold) for fold in np.unique(self.fold()) if fold >= 0]

    def part(self, partition: int, names: Iterable[str], stamps: Sequence[str] = ()) -> dict[str, Any]:
        """Return columns of one partition in the forms of their kinds, and stamps as Arrow arrays."""
        names = list(names)
        start, end = self._starts[partition], self._starts[partition + 1]
        wanted, sources = self._needed(names)
        # partitions are worked on side by side: threads of their own would only cost
        table = self.parts[partition].to_table(columns=[*sources, *stamps], use_threads=False)
        values = {name: read_form(table[name]) for name in sources}
        for number in wanted:
            operation, stored = self.operations[number], self._training.get(number, {})
            made = None if len(stored) == len(operation.outputs) else operation.apply(values, end - start)
            for index, output in enumerate(operation.outputs):
                if output.name in stored:
                    values[output.name] = np.load(take(stored[output.name]), mmap_mode="r")[start:end]
                elif made is not None:
                    values[output.name] = made[index]
        return {**{name: values[name] for name in names}, **{name: one_array(table[name]) for name in stamps}}

    def view(self, fold: int) -> TrainingData:
        """Return the data as a model judged on ``fold`` may see it: no column uses that fold's labels."""
        training = dict(self._training)
        for number, files in self._by_fold.items():
            training[number] = {**training.get(number, {}), **files.get(fold, {})}
        return replace(self, _training=training, _by_fold={})

    def candidates(self, fold: int) -> tuple[str, ...]:
        """Return the features when ``fold`` judges."""
        return self.outputs_by_fold.get(fold, self.outputs)

    def varying(self, names: Iterable[str]) -> list[str]:
        """Return the columns among ``names`` that differ between views."""
        return [name for name in names if any(n in self._by_fold for n in self._needed([name])[0])]

    def each(self, names: Sequence[str], function: Callable[[str, Any], T]) -> list[T]:
        """Call ``function(name, column)`` for each column on Dask; as many are in memory as there are cores."""

        def one(name: str) -> T:
            return function(name, self.column(name))

        return on_each(one, names)

    def by_part(
        self, names: Sequence[str], function: Callable[[dict[str, Any]], T], stamps: Sequence[str] = ()
    ) -> list[T]:
        """Call ``function(columns)`` for each partition on Dask; return the results in row order."""

        def one(index: int) -> T:
            return function(self.part(index, names, stamps))

        return on_each(one, range(len(self.parts)))

    def add(self, fitted: FittedStep) -> TrainingData:
        """Return the data with a fitted step applied."""
        kinds, training, by_fold = dict(self.kinds), dict(self._training), dict(self._by_fold)
        for number, operation in enumerate(fitted.operations, start=len(self.operations)):
            files: dict[str, Path] = {}
            views: dict[int, dict[str, Path]] = {}
            for index, output in enumerate(operation.outputs):
                kinds[output.name] = output.kind
                if output.name in fitted.training:
                    files[output.name] = self._store(f"{number}-{index}", fitted.training[output.name])
                for fold in self.judges if output.name in fitted.by_fold else ():
                    values = fitted.by_fold[output.name](fold)
                    views.setdefault(fold, {})[output.name] = self._store(f"{number}-{index}-{fold}", values)
            if files:
                training[number] = files
            if views:
                by_fold[number] = views
        operations = (*self.operations, *fitted.operations)
        return replace(self, kinds=kinds, operations=operations, _training=training, _by_fold=by_fold)

    def _store(self, stem: str, values: Numbers) -> Path:
        path = self.scratch / f"{stem}.npy"
        np.save(path, np.asarray(values, dtype=np.float64))
        give(path)
        return path

    def _needed(self, names: Sequence[str]) -> tuple[list[int], list[str]]:
        """Return the operations and sources that columns need; stored columns need no inputs."""
        stored = {n for n, files in self._training.items() if len(files) == len(self.operations[n].outputs)}
        bare = [replace(one, inputs=()) if number in stored else one for number, one in enumerate(self.operations)]
        return live(bare, names)


def read_form(values: pa.ChunkedArray) -> Any:
    """Return a clean column of a table in the representation of its kind."""
    array = one_array(values)
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_dictionary(array.type):
        return encoded(array)
    return _numbers(array)


def _numbers(array: pa.Array) -> Numbers:
    return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _rows(part: Part) -> int:
    """Count the rows of a partition; of a fragment from its row groups, for its own count is that of the whole file."""
    groups = getattr(part, "row_groups", None)
    return int(part.count_rows()) if groups is None else sum(group.num_rows for group in groups)


def joined(pieces: Sequence[Any]) -> Any:
    """Return the columns of the partitions as one column."""
    if len(pieces) == 1:
        return pieces[0]
    if isinstance(pieces[0], pa.Array):
        return pa.chunked_array(list(pieces)).unify_dictionaries().combine_chunks()
    return np.concatenate(pieces)
