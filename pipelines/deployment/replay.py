"""Replay: logged requests once more, to a version that answered them or to one that never did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.deployment.proof import ask
from pipelines.errors import DeployError
from pipelines.inference.golden import predictions_difference

COLUMNS = ["version", "status", "instance", "prediction"]


def logged(
    storage: Path, model: str, version: int | None, rows: int, since: datetime | None = None
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the newest logged instances with their predictions; damaged files are skipped.

    Parameters
    ----------
    version
        That predicted; None: any.
    since
        Days before this one are left out.
    """
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for path in _newest_first(storage / "predictions" / model):
        if len(found) >= rows or (since is not None and path.parent.name < since.strftime("%Y-%m-%d")):
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
            if instance is not None and prediction is not None:
                found.append((json.loads(instance), json.loads(prediction)))
    return found[:rows]


def replay(client: httpx.Client, storage: Path, model: str, version: int, *, rows: int, tolerance: float) -> int:
    """Ask for logged instances again and compare with what the version predicted then; return how many there were.

    Raises
    ------
    DeployError
        A prediction differs, or an instance is refused.
    """
    pairs = logged(storage, model, version, rows)
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
    return len(pairs)


def _newest_first(folder: Path) -> Iterator[Path]:
    for day in sorted((path for path in folder.glob("*") if path.is_dir()), reverse=True):
        yield from sorted(day.glob("*.parquet"), reverse=True)
