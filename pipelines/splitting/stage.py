"""The split stage: sealed rows to ``sealed/``, all others with their ``_fold`` to ``train/``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_atomic
from pipelines.errors import DataError, GateError
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.splitting.folds import assign_folds
from pipelines.splitting.spec import SplitSpec

SPEC = SplitSpec
INPUTS = ("cleaned",)


def run(spec: SplitSpec, *, night: Night, settings: Settings, out: Path, cleaned: Artifact) -> Outcome:
    """Divide the rows in ``cleaned/``."""
    table = storage.read_table(cleaned.path / "cleaned")
    train, sealed = table.filter(pc.invert(table["_sealed"])), table.filter(table["_sealed"])
    check_sides(train, sealed)
    model = night.model
    rows = train.select(["_key", "_time", "_y"]).to_pandas()
    folds, how = assign_folds(rows, spec.folds, model.seed, task=model.task, dated=model.time is not None)
    sealed, unknown = drop_unknown_labels(train, sealed) if model.task != "regression" else (sealed, {})
    check_judges(sealed, train, model)
    train = train.append_column("_fold", pa.array(folds, pa.int8()))
    storage.write_table(train, out / "train")
    storage.write_table(sealed, out / "sealed")
    sizes = {str(item["values"]): item["counts"] for item in pc.value_counts(train["_fold"]).to_pylist()}
    report = {
        "train": train.num_rows,
        "sealed": sealed.num_rows,
        "how": how,
        "folds": dict(sorted(sizes.items())),
        "sealed_labels_never_trained": unknown,
    }
    write_atomic(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False))
    line = f"train {train.num_rows} rows in {len(sizes)} folds {how}, sealed {sealed.num_rows}"
    print(line, file=sys.stderr, flush=True)
    if unknown:
        print(f"  sealed rows left out, their label is in no training row: {unknown}", file=sys.stderr, flush=True)
    counts = {"train": train.num_rows, "sealed": sealed.num_rows, "folds": len(sizes)}
    return Outcome(rows=train.num_rows, meta=counts, stats={**counts, "how": how})


def check_sides(train: pa.Table, sealed: pa.Table) -> None:
    """Raise if a side is empty, or a key lies on both: what a model trained on must not judge it."""
    for side, name in ((train, "training"), (sealed, "sealed")):
        if not side.num_rows:
            raise DataError(
                f"no {name} rows are left after cleaning",
                seen=f"{train.num_rows} training and {sealed.num_rows} sealed rows",
                expected="some of both",
                cure="read more data, or change ingest.seal_share",
            )
    both = pc.unique(sealed["_key"].filter(pc.is_in(sealed["_key"], value_set=pc.unique(train["_key"]))))
    if len(both):
        raise GateError(
            "keys lie on both sides, among training rows and among sealed rows",
            where=repr(both[0].as_py()),
            seen=f"{len(both)} keys on both sides",
            expected="none",
            cure="declare the columns that identify a row as the model's key",
            faults=[f"key {key!r}" for key in both.to_pylist()],
        )


def check_judges(sealed: pa.Table, train: pa.Table, model: ModelSpec) -> None:
    """Raise if nothing can be learned or judged: before the search has spent its time."""
    for side, rows, needed in (("training", train, 2), ("sealed", sealed, 2 if model.judged_by == "roc_auc" else 1)):
        labels = pc.unique(rows["_y"]).to_pylist()
        if len(labels) < needed:
            raise DataError(
                f"the {side} rows hold too few different labels",
                where=f"target {model.target!r}",
                seen=f"{rows.num_rows} {side} rows, labels {', '.join(map(repr, labels)) or 'none'}",
                expected=f"at least {needed}",
                cure="read more data, or change ingest.seal_share; log_loss judges rows of one class too",
            )


def drop_unknown_labels(train: pa.Table, sealed: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Take out sealed rows of a class that no training row has: no model can be judged on it. Give their counts."""
    known = pc.is_in(sealed["_y"], value_set=pc.unique(train["_y"]))
    lost = pc.value_counts(sealed["_y"].filter(pc.invert(known))).to_pylist()
    return sealed.filter(known), {item["values"]: item["counts"] for item in lost}
