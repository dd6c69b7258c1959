"""Chooses rows by the rows, the spec and the seed alone, with constant memory.

The rows are gone through twice. The first time only their key and the strata's columns are read; every row's number,
by which it is in or out, goes to a file. The second time the rows whose number lies below their stratum's cut-off are
given out. Without a half-life the number is the hash of the key, so that the rows with the smallest hashes are kept:
a simple random sample of each stratum. With one it is the logarithm of the exponential clock -ln(u)/w of Efraimidis
and Spirakis ("Weighted random sampling with a reservoir", 2006), w = 2^(-age / half-life); as time passes all ages grow
alike, so that the order of rows known before stays. Given the smallest clock left out, c, a row is in with probability
1 - exp(-w c) (Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007, rank conditioning).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from pipelines.reserved_columns import INGESTED
from pipelines.row_hash import key_hash
from pipelines.sampling.allocation import allocate, allocate_equally, allocate_named
from pipelines.sampling.key_groups import Torn, find_torn
from pipelines.sampling.numbers import Numbers, log_clocks, ordered, row_hash
from pipelines.sampling.rows import batches, worked
from pipelines.sampling.scratch import Scratch, ScratchReader
from pipelines.sampling.spec import SampleSpec
from pipelines.sampling.strata import Strata
from pipelines.sampling.stratum_thresholds import Cutoffs, find_cutoffs
from pipelines.sampling.volume import volume_classes


@dataclass(frozen=True)
class Sampler:
    """Knows which columns of a table decide about its rows.

    Parameters
    ----------
    work
        Existing folder for the rows' numbers.
    key
        Column with the text (or integer) that identifies a row.
    sealed
        Bool column that marks sealed rows; None: there are none.
    time
        Column with a row's moment, for ``half_life_days``; rows without one are always in.
    together
        The key is declared: its rows are all in or all out, so that the row that stands for the others is among them.
        Else rows of one key are told apart by their content where there is not room for all.
    """

    table: pads.Dataset
    spec: SampleSpec
    work: Path
    key: str = "_key"
    sealed: str | None = "_sealed"
    time: str | None = "_time"
    together: bool = False

    def draw(self) -> Sample:
        """Decide about every row."""
        strata, codes, numbers, keys = self._read_numbers()
        names = strata.names()
        sizes = np.zeros(len(names), np.int64)
        for part in codes.parts():
            sizes += np.bincount(part, minlength=len(names))
        wanted = self._wanted(names, sizes)
        cut = find_cutoffs(numbers, codes, sizes, wanted, together=self.together)
        chosen, kept = self._among_ties(cut, codes, numbers)
        inside = Scratch(self.work / "inside", "?")
        for values, part in zip(numbers.parts(), codes.parts(), strict=True):
            included = cut.included(values, part)
            inside.append(included)
            kept += np.bincount(part[included], minlength=len(names))
        inside.finish()
        weights = sizes / np.maximum(1, kept)
        torn = Torn.none()
        if self.together:
            torn = find_torn(cut, weights, sizes, int(kept[1:].sum()), codes, numbers, keys)
            if torn.added.any():
                added = np.memmap(codes.path, codes.kind, "r")[torn.indices[torn.added]]
                kept += np.bincount(added, minlength=len(names))
        return Sample(self, codes, inside, cut, chosen, torn, names, sizes, kept, weights)

    def _read_numbers(self) -> tuple[Strata, Scratch, Scratch, Scratch | None]:
        """Read the deciding columns; write every row's stratum, number and, if that differs, hash of its key."""
        spec = self.spec
        strata = Strata((*spec.by, "(volume)") if spec.by_volume else spec.by)
        codes, numbers = Scratch(self.work / "strata", "u4"), Scratch(self.work / "numbers", "u8")
        volumes, volume_names = self._volumes() if spec.by_volume else (None, [])
        recent = [self.time] if spec.half_life_days is not None and self.time else []
        sealed = [self.sealed] if self.sealed else []
        keys = Scratch(self.work / "keys", "u8") if recent and self.together else None

        def hashed(_: int, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, npt.NDArray[np.uint64]]:
            return batch, key_hash(batch.column(self.key), spec.seed)

        for batch, number in worked(self.table, [self.key, *sealed, *spec.by, *recent], hashed):
            arrays = [batch.column(name) for name in spec.by]
            if volumes is not None:
                classes = pa.array(volumes.take(batch.num_rows))
                arrays.append(pa.DictionaryArray.from_arrays(classes, pa.array(volume_names)))
            code = strata.numbers(arrays, batch.num_rows)
            if keys is not None:
                keys.append(number)
            if recent:
                clock = log_clocks(number) + self._delays(batch)
                number = np.where(_mask(batch, sealed), number, ordered(clock))
            code[_mask(batch, sealed)] = 0
            codes.append(code)
            numbers.append(number)
        for scratch in (codes, numbers, *([keys] if keys is not None else [])):
            scratch.finish()
        return strata, codes, numbers, keys

    def _volumes(self) -> tuple[ScratchReader, list[str]]:
        entities = Scratch(self.work / "entities", "u8")
        for batch in batches(self.table, self.spec.by_volume):
            entities.append(row_hash([batch.column(name) for name in self.spec.by_volume], self.spec.seed))
        entities.finish()
        classes, names = volume_classes(entities, self.spec.volume_strata, self.work / "volumes")
        return classes.reader(), names

    def _delays(self, batch: pa.RecordBatch) -> Numbers:
        """Return -ln w of every row up to a constant; -inf for rows without a moment."""
        moments = batch.column(str(self.time)).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        days = moments.cast(pa.float64(), safe=False).fill_null(np.inf).to_numpy(zero_copy_only=False) / 86_400e6
        return np.asarray(-np.log(2.0) * days / float(self.spec.half_life_days or 1.0), np.float64)

    def _wanted(self, names: list[str], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many rows of each stratum to choose; sealed rows, at index 0, have their own limit."""
        spec = self.spec
        wanted = np.minimum(sizes, spec.max_sealed)
        order = [index for index in np.argsort(-sizes, kind="stable").tolist() if index and sizes[index]]
        order.sort(key=lambda index: (-sizes[index], names[index]))
        if not order:
            return wanted
        counts = [int(sizes[index]) for index in order]
        fraction = max(spec.fraction, min(1.0, spec.min_rows / sum(counts)))
        limit = None if spec.max_rows is None else max(spec.max_rows, len(counts))
        if spec.allocation == "equal":
            kept = allocate_equally(counts, fraction, limit)
        elif spec.allocation == "proportional":
            kept = allocate(counts, fraction, limit)
        else:
            kept = allocate_named(counts, [names[index] for index in order], spec.allocation, fraction, limit)
        wanted[order] = kept
        return wanted

    def _among_ties(
        self, cut: Cutoffs, codes: Scratch, numbers: Scratch
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Choose among rows of equal hashes by their content; return the chosen indices and the counts by stratum."""
        kept = np.zeros(len(cut.value), np.int64)
        partial = cut.partial
        if not partial.any():
            return np.empty(0, np.int64), kept
        indices, strata, start = [], [], 0
        for values, part in zip(numbers.parts(), codes.parts(), strict=True):
            equal = np.flatnonzero(partial[part] & (values == cut.value[part]))
            indices.append(equal + start)
            strata.append(part[equal])
            start += len(part)
        rows, stratum = np.concatenate(indices), np.concatenate(strata)
        content = np.empty(len(rows), np.uint64)
        names = [name for name in self.table.schema.names if name not in INGESTED]
        start = 0
        for batch in batches(self.table, names):
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            if last > first:
                some = batch.take(pa.array(rows[first:last] - start))
                content[first:last] = row_hash(some.columns, self.spec.seed)
            start += batch.num_rows
        order = np.lexsort((content, stratum))
        stratum = stratum[order]
        rank = np.arange(len(order)) - np.searchsorted(stratum, stratum)
        chosen = rank < cut.ties[stratum]
        kept += np.bincount(stratum[chosen], minlength=len(kept))
        return np.sort(rows[order][chosen]), kept


@dataclass(frozen=True)
class Sample:
    """The decision about every row.

    ``names``, ``sizes``, ``kept`` and ``weights`` describe the strata; the first is that of the sealed rows.
    """

    sampler: Sampler
    codes: Scratch
    inside: Scratch
    """Mask of the chosen rows, without those at a partial cut-off and torn ones."""
    cut: Cutoffs
    chosen: npt.NDArray[np.int64]
    torn: Torn
    names: list[str]
    sizes: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    weights: Numbers

    def strata(self) -> list[dict[str, Any]]:
        """Return {"stratum", "rows", "kept"} of every stratum of unsealed rows, largest first."""
        rows = zip(self.names[1:], self.sizes[1:].tolist(), self.kept[1:].tolist(), strict=True)
        found = [{"stratum": name, "rows": size, "kept": kept} for name, size, kept in rows if size]
        return sorted(found, key=lambda one: (-one["rows"], one["stratum"]))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the chosen rows in order, with ``_weight`` (float64, 1 / probability) as last column."""
        table = self.sampler.table
        names = list(columns if columns is not None else table.schema.names)
        recent = self.sampler.time if self.sampler.spec.half_life_days is not None else None

        def chosen(start: int, batch: pa.RecordBatch) -> pa.RecordBatch:
            code, inside = self.codes.at(start, batch.num_rows), self.inside.at(start, batch.num_rows)
            first, last = np.searchsorted(self.chosen, [start, start + batch.num_rows])
            inside[self.chosen[first:last] - start] = True
            weight = self.cut.weights(self.weights, code, self.sampler._delays(batch) if recent else None)
            self.torn.put(start, inside, weight)
            rows = batch.select(names)
            rows = rows if inside.all() else rows.filter(pa.array(inside))
            given = [rows.column(name).cast(table.schema.field(name).type) for name in names]
            return pa.RecordBatch.from_arrays([*given, pa.array(weight[inside])], [*names, "_weight"])

        yield from worked(table, [*names, *([recent] if recent else [])], chosen)


def _mask(batch: pa.RecordBatch, sealed: list[str]) -> npt.NDArray[np.bool_]:
    if not sealed:
        return np.zeros(batch.num_rows, np.bool_)
    return np.asarray(batch.column(sealed[0]).to_numpy(zero_copy_only=False))
