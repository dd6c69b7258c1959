"""The split stage: sealed rows to ``sealed/``, all others with their ``_fold`` to ``train/``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.reserved_columns import GROUP
from pipelines.settings import Settings
from pipelines.splitting.columns import Mask, batches, days_of, key_hashes, labels_of, numbers_of
from pipelines.splitting.folds import NO_FOLD, Folds, assign_folds
from pipelines.splitting.handed import Handed
from pipelines.splitting.leaks import find_leaks, judge_leaks
from pipelines.splitting.spec import SplitSpec
from pipelines.splitting.train_holdout import check_judges, check_sides, group_sides, label_counts

log = logging.getLogger(__name__)


def run(spec: SplitSpec, *, night: Night, settings: Settings, out: Path, cleaned: Artifact) -> Outcome:
    """Divide the rows in ``cleaned/``; what decides is read one column at a time.

    Leaves ``train/`` (with ``_fold`` int8), ``sealed/`` and ``report.json``. Sealed rows of a class that is in no
    training row stay, where there are many classes: the live version may know it, and tonight's model has lost it.
    """
    model = night.model
    table = storage.dataset(cleaned.path / "cleaned")
    sealed = numbers_of(table, "_sealed", np.bool_)
    keys = key_hashes(table)
    check_sides(table, sealed, keys)
    sides, units, groups = group_sides(table, sealed, keys, spec, model)
    train, judges = sides.train, sides.sealed
    staying = judges
    y: npt.NDArray[Any]
    labels: list[str] = []
    unknown: dict[str, int] = {}
    seen: list[list[str]] = [[], []]
    if not model.supervised:
        y = np.zeros(len(keys))
    elif model.task == "regression":
        y = numbers_of(table, "_y", np.float64)
        seen = [[repr(value) for value in np.unique(y[side])[:2].tolist()] for side in (train, judges)]
    else:
        y, labels = labels_of(table)
        counts = [label_counts(y, side, labels) for side in (train, judges)]
        unknown = {label: int(counts[1][index]) for index, label in enumerate(labels) if not counts[0][index]}
        unknown = {label: count for label, count in unknown.items() if count}
        judges = judges & np.isin(y, np.flatnonzero(counts[0]))
        staying = staying if model.task == "multiclass" else judges
        seen = [[label for index, label in enumerate(labels) if count[index]] for count in counts]
        seen[1] = [label for label in seen[1] if label not in unknown]
    check_judges(seen[0], seen[1], (int(train.sum()), int(judges.sum())), model)
    known = json.loads((cleaned.path / "report.json").read_text()) if (cleaned.path / "report.json").is_file() else {}
    found = (
        []
        if spec.leaks == "off" or not model.supervised
        else find_leaks(table, spec, night, y, labels, train, judges, keys, known.get("null_evidence") or {})
    )
    judge_leaks(found, spec)
    folds, how = assign_folds(
        units[train],
        y[train],
        spec.folds,
        model.seed,
        task=model.task,
        time_folds=spec.time_folds,
        day=days_of(table)[train] if model.time is not None else None,
        embargo=spec.embargo_days,
        judged=spec.judged_share,
    )
    kept = folds != NO_FOLD
    sizes = {str(fold): int(count) for fold, count in enumerate(np.bincount(folds[folds >= 0]))}
    early = int((kept & (folds < 0)).sum())
    train = train.copy()
    train[train] = kept
    rows = write(table, train, folds[kept], staying, out)
    report: dict[str, Any] = {
        "train": rows[0],
        "sealed": rows[1],
        "how": how,
        "folds": sizes,
        "early": early,
        "sealed_labels_never_trained": unknown,
        "embargo": int((~kept).sum()),
        "groups": groups,
        "leaks": found,
    }
    write_json(out / "report.json", report)
    line = f"train {rows[0]} rows in {len(sizes)} folds ({how}), sealed {rows[1]}"
    line += f"; {early} early rows judge nothing" if early else ""
    log.info(line)
    if spec.embargo_days and how != "blocks of days":
        log.info("notice: embargo_days has no effect, there are no blocks of days")
    if not model.supervised:
        log.info("notice: no target: folds have no strata, and no column can give it away")
    if unknown:
        what = "only a version that knows it is judged by them" if model.task == "multiclass" else "they are left out"
        log.info(f"sealed rows whose label is in no training row, {what}: {unknown}")
    if groups.get("left_out"):
        log.info(f"{groups['left_out']} rows of entities on both sides left out")
    for leak in found:
        log.info(f"{leak['action']}: {leak['column']}: {leak['evidence']}")
    totals = {"train": rows[0], "sealed": rows[1], "folds": len(sizes)}
    by = spec.group if GROUP in table.schema.names and model.time is None else ()
    return Outcome(
        rows=rows[0],
        meta={**totals, "sealed_by": list(by)} if by else totals,
        stats={**totals, "how": how, "leaks": len(found)},
    )


def write(table: pads.Dataset, train: Mask, folds: Folds, sealed: Mask, out: Path) -> tuple[int, int]:
    """Write both sides in one pass over the table; ``folds`` are those of the training rows, in their order."""
    schema = table.schema.append(pa.field("_fold", pa.int8()))
    judging = Handed()

    def training() -> Iterator[pa.RecordBatch]:
        start = taken = 0
        for batch in batches(table):
            mask, judged = (side[start : start + batch.num_rows] for side in (train, sealed))
            start += batch.num_rows
            if judged.any():
                judging.put(batch.filter(pa.array(judged)))
            rows = batch.filter(pa.array(mask))
            fold = pa.array(folds[taken : taken + rows.num_rows], pa.int8())
            taken += rows.num_rows
            yield pa.RecordBatch.from_arrays([*rows.columns, fold], schema=schema)

    with ThreadPoolExecutor(1, "sealed") as pool:
        other = pool.submit(judging.to, lambda rows: storage.write_table(rows, out / "sealed", table.schema))
        try:
            trained = storage.write_table(training(), out / "train", schema)
        finally:
            judging.end()
    return trained, other.result()
