"""What is known of a night, in MLflow's terms: tags, parameters, metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts import Night, canonical_json
from pipelines.inference.model_directory import ModelDirectory
from pipelines.registry.publish import Publication
from pipelines.registry.tracking import DIGEST_TAG

SENTENCE_LIMIT = 2_000


def publication(
    night: Night,
    version: int,
    opened: ModelDirectory,
    *,
    tags: Mapping[str, str],
    verdict: Mapping[str, Any],
    evaluation: Path,
    lineage: Mapping[str, Any],
    cost: Mapping[str, float],
) -> Publication:
    """Return what MLflow is told of a version.

    Parameters
    ----------
    evaluation
        Folder that evaluate left; what it lacks is left out.
    lineage
        Refs of the stages before, by name.
    cost
        Size and speed, as the ledger has them.
    """
    described = {
        **tags,
        "verdict": str(verdict.get("verdict")),
        "aimass.sentence": str(verdict.get("sentence", ""))[:SENTENCE_LIMIT],
        "aimass.as_of": night.as_of.isoformat(),
        "aimass.dataset_digest": str((lineage.get("ingest") or {}).get("digest", "")),
        DIGEST_TAG: opened.digest,
    }
    params = {key: canonical_json(value) for key, value in night.model.model_dump(mode="json").items()}
    for stage, ref in lineage.items():
        params[f"{stage}.digest"] = str(ref.get("digest", "")) if isinstance(ref, dict) else str(ref)
    path = evaluation / "metrics.json"
    metrics = _numbers(json.loads(path.read_bytes())) if path.is_file() else {}
    return Publication(
        model=night.model.name,
        night=night.night,
        version=version,
        opened=opened,
        evaluation=evaluation,
        metrics={**metrics, **_numbers(verdict), **_numbers(cost)},
        params=params,
        tags=described,
        lineage=lineage,
    )


def _numbers(value: Any, prefix: str = "") -> dict[str, float]:
    """Return every finite number of nested objects, names joined by a dot."""
    if isinstance(value, Mapping):
        found: dict[str, float] = {}
        for key, item in value.items():
            clean = "".join(c if c.isalnum() or c in "_-. /" else "_" for c in str(key))
            found.update(_numbers(item, f"{prefix}{clean}."))
        return found
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return {}
    return {prefix.rstrip("."): float(value)}
