"""Replay: logged requests once more, to a version that answered them or to one that never did."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.deployment.proof import ask
from pipelines.errors import DeployError
from pipelines.inference.golden import predictions_difference
from pipelines.inference.schema import ServeSchema
from pipelines.private_columns import private_cells

log = logging.getLogger(__name__)

COLUMNS = ["version", "status", "instance", "prediction"]


class Logged(NamedTuple):
    """Logged instances with their predictions, and how many were left out because a cell that is needed is private."""

    pairs: list[tuple[dict[str, Any], dict[str, Any]]]
    left_out: int


def logged(
    storage: Path, model: str, version: int | None, rows: int, schema: ServeSchema, since: datetime | None = None
) -> Logged:
    """Return the newest logged instances with their predictions; damaged files are skipped.

    Parameters
    ----------
    version
        That predicted; None: any.
    rows
        How many are looked at.
    schema
        What a prediction needs: an instance whose cells the log hashed or dropped cannot be repeated.
    since
        Days before this one are left out.
    """
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []
    left_out = 0
    for path in _newest_first(storage / "predictions" / model):
        if len(found) + left_out >= rows or (since is not None and path.parent.name < since.strftime("%Y-%m-%d")):
            break
        try:
            table = pq.ParquetFile(path, page_checksum_verification=True).read(columns=COLUMNS)
        except (pa.ArrowException, OSError, KeyError):
            continue
        answered = pc.equal(table["status"], 200)
        if version is not None:
            answered = pc.and_(answered, pc.equal(table["version"], version))
        kept = table.filter(answered)
        for instance, prediction in zip(kept["instance"].to_pylist(), kept["prediction"].to_pylist(), strict=True):
            if instance is None or prediction is None or len(found) + left_out >= rows:
                continue
            row = json.loads(instance)
            if private_cells(row, schema.names, schema.private):
                left_out += 1
            else:
                found.append((row, json.loads(prediction)))
    if left_out:
        names = ", ".join(map(repr, schema.private)) or "another version declared"
        log.info(
            f"{left_out} of {len(found) + left_out} logged rows are left out: the log lacks private cells ({names})"
        )
    return Logged(found, left_out)


def replay(
    client: httpx.Client, storage: Path, model: str, version: int, schema: ServeSchema, *, rows: int, tolerance: float
) -> tuple[int, int]:
    """Ask for logged instances again and compare with what the version predicted then.

    Returns
    -------
    tuple
        How many were repeated, and how many were left out because of private cells.

    Raises
    ------
    DeployError
        A prediction differs, or an instance is refused.
    """
    pairs, left_out = logged(storage, model, version, rows, schema)
    predictions = ask(client, f"/v1/models/{model}", [instance for instance, _ in pairs])
    for (instance, before), now in zip(pairs, predictions, strict=True):
        if not predictions_difference([now], [before]) <= tolerance:
            raise DeployError(
                "the service predicts otherwise than before",
                where=f"{model} version {version}",
                seen=f"{now} for {json.dumps(instance)[:300]}",
                expected=before,
                cure="the version that is live stays live; compare the libraries with those its bento names",
            )
    return len(pairs), left_out


def _newest_first(folder: Path) -> Iterator[Path]:
    for day in sorted((path for path in folder.glob("*") if path.is_dir()), reverse=True):
        yield from sorted(day.glob("*.parquet"), reverse=True)
