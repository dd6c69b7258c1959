"""Export of a version as a plain ONNX graph over its features, compared with the version on its golden rows."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines import storage
from pipelines.artifacts import write_atomic
from pipelines.errors import DeployError, SpecError
from pipelines.exchange.onnx_builder import Builder
from pipelines.exchange.onnx_convert import convert, why_not
from pipelines.exchange.versions import wanted_version
from pipelines.inference.members.onnx import OnnxMember, session
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key
from pipelines.settings import Settings

MOST = 1e-4
"""Difference from which a graph is not handed out."""


@dataclass(frozen=True)
class ExportedGraph:
    """What was written.

    Parameters
    ----------
    features
        In the order of the graph's input; each {name, kind, cardinality}.
    difference
        The largest to the version's own predictions of ``rows`` golden rows.
    """

    model: str
    version: int
    path: Path
    features: list[dict[str, object]]
    rows: int
    difference: float


def export_onnx(settings: Settings, ledger: Ledger, name: str, out: Path, version: int | None = None) -> ExportedGraph:
    """Write the ensemble of a version as one ONNX file: ``features`` (n, p) of doubles in, predictions out.

    A version that was imported from ONNX gives back the file that it came from.

    Raises
    ------
    SpecError
        A member has no form in ONNX; names each and why.
    DeployError
        The graph predicts otherwise.
    """
    if out.exists():
        raise SpecError("the file is there already", where=str(out), cure="name another with --out, or remove it")
    row = wanted_version(ledger, name, version)
    opened = ModelDirectory.open(storage.resolve(settings, row.model_uri), public_key(settings))
    predictor = opened.predictor
    described = predictor.plan.describe()
    golden = predictor.golden["rows"]
    matrix = np.array([predictor.features_of(each, {}) for each in golden])
    expected = predictor.ensemble.predict(matrix)
    only = predictor.ensemble.nodes[0].parts[0] if len(predictor.ensemble.nodes) == 1 else None
    if isinstance(only, OnnxMember):
        write_atomic(out, only.graph)
        return ExportedGraph(name, row.version, out, described, len(golden), 0.0)
    if faults := why_not(predictor.ensemble):
        raise SpecError(
            "this version cannot be written as ONNX",
            where=f"{name} version {row.version}",
            seen=f"{len(faults)} parts of it have no form in ONNX",
            cure="leave those families out of TuneSpec.families, or export the archive",
            faults=faults,
        )
    builder = Builder()
    helper, double = builder.onnx.helper, builder.onnx.TensorProto.DOUBLE
    made = convert(builder, predictor.ensemble, "features")
    output = "probabilities" if predictor.classes else "prediction"
    builder.nodes.append(helper.make_node("Identity", [made], [output]))
    facts = {"model": name, "version": row.version, "features": described, "classes": predictor.labels,
             "threshold": predictor.threshold}  # fmt: skip
    model = builder.model(
        [helper.make_tensor_value_info("features", double, ["rows", len(described)])],
        [helper.make_tensor_value_info(output, double, ["rows", len(predictor.classes) or 1])],
        json.dumps(facts, ensure_ascii=False),
    )
    content = model.SerializeToString()
    (found,) = session(content).run([output], {"features": matrix})
    found = np.asarray(found, dtype=np.float64).reshape(expected.shape)
    difference = float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max())
    if not difference <= MOST or math.isnan(difference):
        raise DeployError(
            "the ONNX graph predicts otherwise than the version",
            where=f"{name} version {row.version}",
            seen=f"largest difference {difference:.3g} on {len(golden)} golden rows",
            expected=f"at most {MOST:g}",
            cure="report it; the archive of aimass export is exact",
        )
    write_atomic(out, content)
    return ExportedGraph(name, row.version, out, described, len(golden), difference)
