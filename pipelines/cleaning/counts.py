"""The counts of each part, and the report of all parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.cleaning.declared_columns import source_columns
from pipelines.cleaning.rules import Judged
from pipelines.cleaning.spec import CleanSpec
from pipelines.cleaning.target import label_counts
from pipelines.errors import DataError
from pipelines.inference.recipe.row_recipe import RowRecipe
from pipelines.row_hash import key_hash
from pipelines.spec import ModelSpec

MAX_EXAMPLES = 200
OUTCOMES = ("clean", "quarantined", "duplicates", "filtered", "unlabelled")
Mask = npt.NDArray[np.bool_]


@dataclass
class Tally:
    """The counts of one part."""

    rows: int
    clean: Mask
    counts: dict[str, int]
    by_reason: Counter[str]
    filtered_by: Counter[str]
    labels: Counter[Any]
    spellings: Counter[tuple[str, str]]
    nulls: dict[str, tuple[int, int]]
    """Per column, the nulls among labelled and among unlabelled rows."""
    known: tuple[int, int]
    """Numbers of labelled and unlabelled rows, without held and superseded ones."""
    reasons: list[str]
    told: frozenset[str]
    examples: pa.Table
    ranks: npt.NDArray[Any]
    """Of each example: whether it has no gaps, its hash, its row; shape (examples,), structured."""

    @classmethod
    def of(cls, raw: pa.Table, judged: Judged, superseded: Mask, model: ModelSpec, start: int) -> Tally:
        """Count each row under one outcome: held, else superseded, else unlabelled, else filtered, else clean."""
        held = judged.held.mask
        duplicate = superseded & ~held
        left = ~held & ~duplicate
        known = left & judged.labelled, left & ~judged.labelled
        filtered = known[0] & judged.filtered
        clean = known[0] & ~filtered
        masks = (clean, held, duplicate, filtered, known[1])
        absent = {str(name): judged.typed[name].isna().to_numpy() for name in judged.typed}
        gaps = np.zeros(raw.num_rows, dtype=bool)
        for mask in absent.values():
            gaps |= mask
        outcomes = {name: int(mask.sum()) for name, mask in zip(OUTCOMES, masks, strict=True)}
        chosen, ranks = _chosen(raw, clean, gaps, start)
        return cls(
            rows=raw.num_rows,
            clean=clean,
            counts=outcomes,
            by_reason=Counter(judged.held.counts),
            filtered_by=Counter({name: int((mask & filtered).sum()) for name, mask in judged.left_out.items()}),
            labels=Counter(label_counts(judged.y[clean], model)),
            spellings=judged.spellings,
            nulls={name: (int((mask & known[0]).sum()), int((mask & known[1]).sum())) for name, mask in absent.items()},
            known=(int(known[0].sum()), int(known[1].sum())),
            reasons=judged.held.examples(),
            told=judged.told,
            examples=raw.select(source_columns(raw)).take(pa.array(chosen)),
            ranks=ranks,
        )

    def shrunk(self) -> Tally:
        """Drop the mask, which has one value per row, and return the tally."""
        self.clean = np.empty(0, dtype=bool)
        return self


def _chosen(raw: pa.Table, clean: Mask, gaps: Mask, start: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
    """Choose example rows of a part: unsealed clean ones with the smallest hashes, half of them with gaps."""
    usable = np.flatnonzero(clean & ~raw["_sealed"].to_numpy())
    ranks = np.empty(len(usable), dtype=[("full", bool), ("hash", np.uint64), ("row", np.int64)])
    ranks["full"], ranks["row"] = ~gaps[usable], usable + start
    ranks["hash"] = key_hash(raw["_key"].take(pa.array(usable)).cast(pa.string()), 0)
    some = _smallest(ranks)
    return usable[some], ranks[some]


def _smallest(ranks: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the indices of up to ``MAX_EXAMPLES`` smallest ranks, half of them of rows with gaps if possible."""
    if len(ranks) > 8 * MAX_EXAMPLES:  # only those with small hashes need to be put in order
        some = _below(ranks["hash"], np.ones(len(ranks), dtype=bool)) | _below(ranks["hash"], ~ranks["full"])
        if (indices := np.flatnonzero(some)).size < len(ranks):
            return np.asarray(indices[_smallest(ranks[indices])])
    order = np.lexsort((ranks["row"], ranks["hash"]))
    gaps = order[~ranks["full"][order]][: MAX_EXAMPLES // 2]
    rest = order[~np.isin(order, gaps)][: MAX_EXAMPLES - len(gaps)]
    return np.sort(np.concatenate([gaps, rest]))


def _below(hashes: npt.NDArray[np.uint64], among: Mask) -> Mask:
    """Mark the ``MAX_EXAMPLES`` smallest hashes among some, and those that equal the greatest of them."""
    some = hashes[among]
    if len(some) <= MAX_EXAMPLES:
        return among
    return np.asarray(among & (hashes <= np.partition(some, MAX_EXAMPLES - 1)[MAX_EXAMPLES - 1]), dtype=bool)


def examples_of(tallies: Sequence[Tally], columns: list[str]) -> pa.Table:
    """Choose among the examples of all parts, in the order of the rows."""
    table = pa.concat_tables([tally.examples for tally in tallies])
    return table.take(pa.array(_smallest(np.concatenate([tally.ranks for tally in tallies])))).select(columns)


def report_of(tallies: Sequence[Tally], recipe: RowRecipe, notes: list[str], spec: CleanSpec) -> dict[str, Any]:
    """Return the report of all parts, once the counts add up and enough rows are clean.

    Raises
    ------
    DataError
        Too many rows are held, or none is left.
    """
    total: Counter[str] = sum((Counter(tally.counts) for tally in tallies), Counter())
    by_reason: Counter[str] = sum((tally.by_reason for tally in tallies), Counter())
    filtered_by: Counter[str] = sum((tally.filtered_by for tally in tallies), Counter())
    report: dict[str, Any] = {
        "in": sum(tally.rows for tally in tallies),
        **{outcome: total[outcome] for outcome in OUTCOMES},
        "by_reason": dict(sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))),
        "filtered_by": dict(sorted(filtered_by.items(), key=lambda item: (-item[1], item[0]))),
        "kinds": {column.name: column.kind for column in recipe.columns},
        "notes": [*notes, *_idle(tallies, spec)],
        "null_evidence": _null_evidence(tallies, recipe),
    }
    if report["in"] != sum(report[outcome] for outcome in OUTCOMES):
        raise AssertionError(f"rows got lost in cleaning: {report}")
    _check_counts(report, [text for tally in tallies for text in tally.reasons][:5], spec)
    return report


def _idle(tallies: Sequence[Tally], spec: CleanSpec) -> list[str]:
    """Return notes on rules that were null for every row: they may be written wrongly."""
    told = frozenset[str]().union(*(tally.told for tally in tallies))
    return [
        f"rule {name!r} told nothing about any row ({text}): its columns are missing or of another kind everywhere"
        for name, text in spec.rules.items()
        if name not in told
    ]


def _null_evidence(tallies: Sequence[Tally], recipe: RowRecipe) -> dict[str, dict[str, float | int | None]]:
    rows = [sum(tally.known[side] for tally in tallies) for side in (0, 1)]
    evidence: dict[str, dict[str, float | int | None]] = {}
    for name in recipe.names:
        nulls = [sum(tally.nulls[name][side] for tally in tallies) for side in (0, 1)]
        shares = [null / count if count else None for null, count in zip(nulls, rows, strict=True)]
        evidence[name] = {
            "labelled": shares[0],
            "unlabelled": shares[1],
            "labelled_rows": rows[0],
            "unlabelled_rows": rows[1],
        }
    return evidence


def _check_counts(report: dict[str, Any], reasons: list[str], spec: CleanSpec) -> None:
    faults = [f"{count} × {reason}" for reason, count in report["by_reason"].items()]
    faults += [f"for example: {text}" for text in reasons]
    share = report["quarantined"] / report["in"]
    if share > spec.max_quarantined:
        raise DataError(
            "too many rows cannot be read or break a rule",
            seen=f"{report['quarantined']} of {report['in']} rows ({share:.1%})",
            expected=f"at most {spec.max_quarantined:.1%} (clean.max_quarantined)",
            cure="correct the source, declare the column's kind or date format in clean.kinds and clean.dates, "
            "its missing tokens in clean.missing, or correct clean.rules and clean.allowed",
            faults=faults,
        )
    if not report["clean"]:
        raise DataError(
            "no row is left after cleaning",
            seen=", ".join(f"{report[part]} {part}" for part in ("in", *OUTCOMES[1:])),
            expected="at least one row, labelled where the model has a target",
            cure="check the target column, clean.require and clean.filters",
            faults=faults,
        )
