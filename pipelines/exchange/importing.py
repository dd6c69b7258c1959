"""Import: a model file that was made elsewhere becomes a version with the same contract as a night's."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipelines.artifacts import write_json
from pipelines.deployment.proof import ask
from pipelines.errors import DataError, SpecError
from pipelines.evaluation.report.reference_distribution import reference
from pipelines.exchange.contract import Contract, read_contract
from pipelines.exchange.directory import whole, write_directory
from pipelines.exchange.natives import READERS, native_member
from pipelines.exchange.onnx_graph import read_graph
from pipelines.exchange.onnx_member import onnx_member
from pipelines.exchange.publish import Published, publish_version, require_same_task
from pipelines.exchange.samples import Samples, distance, read_samples
from pipelines.inference.members.registry import Member
from pipelines.inference.schema import request_rows
from pipelines.ledger import Ledger
from pipelines.settings import Settings, make_private
from pipelines.storage import file_sha256, stage_folder

TOLERANCE = 1e-5
"""Largest difference to the samples by default: that of single precision."""
REFERENCE_ROWS = 1_000
"""Samples from which the monitor compares what callers send with them."""
PICKLED = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".skops")


@dataclass(frozen=True)
class Imported:
    """What became of an import: the version, and how far it is from the samples."""

    published: Published
    origin: dict[str, Any]
    served_difference: float


def import_model(
    settings: Settings,
    ledger: Ledger,
    file: Path,
    name: str,
    *,
    schema: Path,
    samples: Path,
    task: str | None = None,
    tolerance: float = TOLERANCE,
    actor: str,
) -> Imported:
    """Make a model file the next version of a model; it is kept until somebody promotes it.

    Its service has to answer like the samples before it counts as a version.

    Raises
    ------
    SpecError, DataError
        Something does not fit; nothing is left behind.
    DeployError
        Its service does not come up or answers otherwise.
    """
    contract = read_contract(schema, task)
    require_same_task(ledger, contract.model_spec(name))
    wanted = read_samples(samples, contract)
    member, kind = read_member(file, contract)
    origin = {"file": file.name, "sha256": file_sha256(file), "format": kind}
    work = stage_folder(settings, f"{name}-import")
    served = 0.0
    try:
        found = write_directory(work / "model", settings, name, contract, member, wanted, origin, tolerance)

        def repeat(client: httpx.Client) -> None:
            nonlocal served
            served = _served_difference(client, name, wanted, tolerance)

        sentence = f"Imported from {file.name} ({kind}): {found['samples']} sample predictions repeated within "
        published = publish_version(
            settings,
            ledger,
            contract.model_spec(name),
            work / "model",
            actor=actor,
            facts={"sentence": f"{sentence}{found['largest_difference']:.3g}.", "imported": found},
            prove_more=repeat,
            evaluation=_reference(work, contract, wanted),
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Imported(published, found, served)


def read_member(file: Path, contract: Contract) -> tuple[Member, str]:
    """Return a model file as a member, and the name of its format.

    Raises
    ------
    SpecError
        Files of this kind are not imported.
    """
    if not file.is_file():
        raise SpecError(
            "there is no such file", where=str(file), expected="a model file, or an archive of aimass export"
        )
    kind = file.suffix.lower()
    if kind == ".onnx":
        return onnx_member(read_graph(file), contract), "onnx"
    if kind in READERS:
        return native_member(file, contract)
    if kind in PICKLED:
        raise DataError(
            "files that run code when they are read are not imported",
            where=str(file),
            seen=kind,
            expected=".onnx",
            cure="export the model to ONNX where it was made: docs/guides/import-and-export.md",
        )
    raise SpecError(
        "files of this kind are not imported",
        where=str(file),
        seen=kind or "no ending",
        expected=f".onnx, {', '.join(READERS)}, or an archive of aimass export",
        cure="convert it: docs/guides/import-and-export.md",
    )


def _reference(work: Path, contract: Contract, samples: Samples) -> Path | None:
    """Write down how the columns of many samples are distributed, for the monitor; None where they are too few."""
    if len(samples.rows) < REFERENCE_ROWS:
        return None
    plan = contract.plan()
    clean, _ = plan.recipe.apply(whole(samples, contract))
    folder = make_private(work / "evaluation")
    write_json(folder / "reference.json", reference(clean, contract.names))
    write_json(folder / "expected.json", {"sealed_rows": len(clean)})
    return folder


def _served_difference(client: httpx.Client, name: str, samples: Samples, tolerance: float) -> float:
    rows = request_rows(samples.rows, list(samples.rows.columns))
    return distance(ask(client, f"/v1/models/{name}", rows), samples, tolerance, "the service")
