"""The model directory of an imported model: the same files as a night's, and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import SpecError
from pipelines.exchange.contract import Contract
from pipelines.exchange.onnx_member import settle_batches
from pipelines.exchange.samples import Samples, distance
from pipelines.inference.golden import MAX_GOLDEN, write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members.onnx import OnnxMember
from pipelines.inference.members.registry import Member
from pipelines.inference.model_directory import FORMAT, ModelDirectory
from pipelines.inference.schema import ServeSchema, request_rows
from pipelines.secret_files import signing_key
from pipelines.settings import Settings

ORIGIN = "origin.json"
"""Where the model came from: file, its digest and format, and what the samples said."""


def write_directory(
    folder: Path,
    settings: Settings,
    name: str,
    contract: Contract,
    member: Member,
    samples: Samples,
    origin: dict[str, Any],
    tolerance: float,
) -> dict[str, Any]:
    """Write and sign a model directory; return its origin with what was measured.

    Raises
    ------
    DataError
        A prediction differs from the samples by more than ``tolerance``.
    SpecError
        A column may be missing, and the model cannot predict such a row.
    """
    model, plan = contract.model_spec(name), contract.plan()
    matrix = plan.transform(plan.recipe.apply(whole(samples, contract))[0])
    apart = settle_batches(member, matrix[:MAX_GOLDEN]) if isinstance(member, OnnxMember) else 0.0
    _refuse_unfilled(member, matrix, contract)
    (folder / "members").mkdir(parents=True, mode=0o700)
    entry = member.save(folder / "members", f"0-{member.family}")
    plan.save(folder / "plan")
    rows = whole(samples, contract)
    ServeSchema.build(model, plan, rows, contract.profile()).save(folder)
    facts = {
        "format": FORMAT,
        "model": name,
        "task": contract.task,
        "target": contract.target,
        "positive": contract.positive_label,
        "classes": list(contract.classes) or None,
        "metric": model.judged_by,
        "features": plan.features,
        "members": [{**entry, "weight": 1.0, "params": {}, "device": "cpu"}],
        "combine": {"kind": "single", "weights": [1.0], "intercept": None},
    }
    write_atomic(folder / "model.json", canonical_json(facts))
    write_golden(folder, rows)
    predictor = ModelDirectory(folder, "").predictor
    largest = distance(predictor.predict_rows(_records(rows)), samples, tolerance, "the model, read back")
    found = {**origin, "samples": len(rows), "largest_difference": largest, "tolerance": tolerance}
    found |= {"alone": apart} if apart else {}
    write_atomic(folder / ORIGIN, canonical_json(found))
    write_manifest(folder, signing_key(settings).read_bytes())
    return found


def whole(samples: Samples, contract: Contract) -> Any:
    """Return the samples with all columns of the contract."""
    lacking = [each.name for each in contract.columns if each.name not in samples.rows.columns]
    return samples.rows.assign(**dict.fromkeys(lacking))


def _records(rows: Any) -> list[dict[str, Any]]:
    return request_rows(rows, list(rows.columns))


def _refuse_unfilled(member: Member, matrix: Any, contract: Contract) -> None:
    """Raise unless the model predicts a row that lacks any one of its numbers."""
    faults = []
    for place, column in enumerate(contract.columns):
        if column.kind == "category" or column.fill is not None:
            continue
        row = matrix[:1].copy()
        row[0, place] = np.nan
        try:
            fine = bool(np.isfinite(member.predict(row)).all())
        except Exception:  # noqa: BLE001 - whatever the model makes of a missing number, it cannot predict it
            fine = False
        if not fine:
            faults.append(f"column {column.name!r} may be missing, and the model has no prediction then")
    if faults:
        raise SpecError(
            "the model cannot predict rows with missing numbers",
            seen=f"{len(faults)} of {len(contract.columns)} columns",
            expected="a prediction for every row that callers may send",
            cure="say in the schema what the model gets instead: `fill: 0`",
            faults=faults,
        )
