"""Checks what is on both sides of the seal: a key never may be, an entity only as declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as pads

from pipelines.errors import DataError, GateError
from pipelines.holdout import SEPARATOR
from pipelines.row_hash import among, distinct, key_hash
from pipelines.spec import ModelSpec
from pipelines.splitting.columns import Hashes, Mask, batches, entity_columns, entity_texts, group_hashes
from pipelines.splitting.spec import SplitSpec

SHOWN = 19
LEAST_UNLABELLED = 3
"""Fewest rows of a side for clustering and reduction."""


@dataclass(frozen=True)
class Sides:
    """Which rows train and which judge; rows that are neither are left out."""

    train: Mask
    sealed: Mask


def check_sides(table: pads.Dataset, sealed: Mask, keys: Hashes) -> None:
    """Raise if a side is empty or a key is on both: rows that a model trained on must not judge it."""
    for name, count in (("training", int((~sealed).sum())), ("sealed", int(sealed.sum()))):
        if not count:
            raise DataError(
                f"no {name} rows are left after cleaning",
                seen=f"{int((~sealed).sum())} training and {int(sealed.sum())} sealed rows",
                expected="some of both",
                cure="read more data, or change ingest.seal_share",
            )
    both = common(keys, ~sealed, sealed)
    if len(both):
        names = [repr(key) for key in _texts(table, ["_key"], both, None)]
        raise GateError(
            "keys lie on both sides, among training rows and among sealed rows",
            where=names[0],
            seen=f"{len(both)} keys on both sides",
            expected="none",
            cure="declare the columns that identify a row as the model's key",
            faults=[f"key {name}" for name in names] + [f"… and {len(both) - SHOWN} more"] * (len(both) > SHOWN),
        )


def group_sides(
    table: pads.Dataset, sealed: Mask, keys: Hashes, spec: SplitSpec, model: ModelSpec
) -> tuple[Sides, Hashes, dict[str, Any]]:
    """Keep the rows of an entity on one side.

    Returns
    -------
    sides : Sides
    units : (n,) uint64
        Hash of what must not be torn apart by folds: the entity, or the key where none is declared.
    report : dict
        {"columns", "both_sides", "left_out"}; empty where no group is declared.

    Raises
    ------
    GateError
        ``group_policy="refuse"`` and an entity on both sides.
    DataError
        Another policy, and nothing left of a side.
    """
    if not spec.group:
        return Sides(~sealed, sealed), keys, {}
    units = group_hashes(table, spec.group, model, keys)
    both = common(units, ~sealed, sealed)
    torn = among(units, both)
    train, judges = ~sealed, sealed
    if spec.group_policy == "exclude":
        train = train & ~torn
    elif spec.group_policy == "judge_new":
        judges = judges & ~torn
    elif len(both):
        columns = ", ".join(spec.group)
        names = _texts(table, spec.group, both, model)
        raise GateError(
            "entities have training rows and sealed rows: what is learned about them is judged on them",
            where=f"SplitSpec.group: {columns}",
            seen=f"{len(both)} of {len(np.unique(units))} entities on both sides",
            expected="each on one side" + ("; the last days judge, whatever the entity" if model.time else ""),
            cure="let the sealed entities not train (group_policy='exclude'), judge by new entities only "
            "(group_policy='judge_new'), or take the columns out of 'group' if entities come back in service",
            faults=[f"{columns} = {name!r}" for name in names]
            + [f"… and {len(both) - SHOWN} more"] * (len(both) > SHOWN),
        )
    if not train.any() or not judges.any():
        raise DataError(
            f"no {'sealed' if train.any() else 'training'} rows are left, because all are of entities on both sides",
            where=f"SplitSpec.group: {', '.join(spec.group)}",
            seen=f"{len(both)} of {len(np.unique(units))} entities on both sides",
            expected="some entities on one side only",
            cure=f"choose another group_policy than {spec.group_policy!r}; a smaller ingest.seal_share puts fewer "
            "entities on both sides",
        )
    report = {
        "columns": list(spec.group),
        "both_sides": len(both),
        "left_out": int(len(sealed) - train.sum() - judges.sum()),
    }
    return Sides(train, judges), units, report


def common(hashes: Hashes, one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> Hashes:
    """Return the hashes that occur on both sides, ascending."""
    few = distinct(hashes[other])
    found = among(hashes, few) & one
    return distinct(hashes[found])


def _texts(table: pads.Dataset, columns: Any, hashes: Hashes, model: ModelSpec | None) -> list[str]:
    """Name the first ``SHOWN`` keys or entities of these hashes, in order of the rows."""
    found: dict[str, None] = {}
    wanted = ["_key"] if model is None else entity_columns(table, columns)
    for batch in batches(table, wanted):
        if model is None:
            texts = [batch.column("_key")]
            whole = key_hash(texts[0], 0)
        else:
            texts = entity_texts(batch, columns, model)
            whole = np.zeros(batch.num_rows, np.uint64)
            for text in texts:
                whole = whole * np.uint64(0x9E3779B185EBCA87) ^ key_hash(text, 1)
        for row in np.flatnonzero(among(whole, hashes))[: 50 * SHOWN].tolist():
            found[" | ".join(str(text[row].as_py()).replace(SEPARATOR, " | ") for text in texts)] = None
        if len(found) >= SHOWN:
            break
    return list(found)[:SHOWN]


def label_counts(codes: npt.NDArray[np.int32], rows: Mask, labels: list[str]) -> npt.NDArray[np.int64]:
    """Count the rows of each label."""
    return np.bincount(codes[rows & (codes >= 0)], minlength=len(labels))


def check_judges(train: list[str], sealed: list[str], rows: tuple[int, int], model: ModelSpec) -> None:
    """Raise if nothing can be learned or judged, before the search spends its time.

    Parameters
    ----------
    train, sealed
        Different labels (or two different values) of each side; empty without a target.
    rows
        Rows of each side.
    """
    if not model.supervised:
        for side, count in zip(("training", "sealed"), rows, strict=True):
            if count < LEAST_UNLABELLED:
                raise DataError(
                    f"too few {side} rows for a model without target",
                    seen=f"{count} {side} rows",
                    expected=f"at least {LEAST_UNLABELLED}",
                    cure="read more data, or change ingest.seal_share",
                )
        return
    for side, labels, count, needed in (
        ("training", train, rows[0], 2),
        ("sealed", sealed, rows[1], 2 if model.judged_by == "roc_auc" else 1),
    ):
        if len(labels) < needed:
            raise DataError(
                f"the {side} rows hold too few different labels",
                where=f"target {model.target!r}",
                seen=f"{count} {side} rows, labels {', '.join(map(repr, labels)) or 'none'}",
                expected=f"at least {needed}",
                cure="read more data, or change ingest.seal_share; log_loss judges rows of one class too",
            )
