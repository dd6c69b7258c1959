"""Stage register: ensemble and verdict in, exactly one version per night out."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Outcome, canonical_json, write_json
from pipelines.errors import AimassError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.registry.aliases import ALERT, reconcile
from pipelines.registry.publish import Publication, publish
from pipelines.registry.spec import RegisterSpec
from pipelines.settings import Settings, public_key
from pipelines.storage import adopt_model, resolve

log = logging.getLogger(__name__)

SENTENCE_LIMIT = 2_000


def run(
    spec: RegisterSpec,
    *,
    night: Night,
    settings: Settings,
    out: Path,
    ensemble: Artifact,
    evaluate: Artifact,
    lineage: dict[str, Any] | None = None,
) -> Outcome:
    """Store the model directory, number it and register it; leaves ``version.json``.

    A retry adopts what an earlier attempt of the same night published: its number and its model directory.
    """
    name, facts = night.model.name, dict(evaluate.ref.meta)
    with Ledger.open(settings) as ledger:
        held = ledger.reserve(name, night.night, night.fence)
        if held.model_digest is None:
            made = ModelDirectory.open(ensemble.path / "model", public_key(settings))
            uri, digest = adopt_model(settings, made.path, name)
            held = ledger.advance(
                name,
                night.night,
                night.fence,
                state="staged",
                model_uri=uri,
                model_digest=digest,
                as_of=night.as_of,
                verdict=facts,
                metric=facts.get("metric"),
                score=facts.get("score"),
                baseline=facts.get("baseline"),
            )
        assert held.model_uri is not None
        assert held.model_digest is not None  # both come together
        stored = ModelDirectory.open(resolve(settings, held.model_uri), public_key(settings))
        if stored.digest != held.model_digest:
            raise AimassError(
                "the stored model directory is another one", where=held.model_uri, expected=held.model_digest
            )
        version = ledger.assign_version(name, night.night, night.fence)
        verdict = dict(held.verdict or facts)
        known = _Facts(spec, night, verdict, evaluate.path, lineage or {}, ledger.cost(name, night.night))
        mlflow_run, mlflow_version = _publish(settings, ledger, known, version, stored)
        ledger.advance(name, night.night, night.fence, state="registered", mlflow_run=mlflow_run)
        reconcile(settings, ledger, name)
    meta = {
        "version": version,
        "verdict": verdict.get("verdict"),
        "model_uri": held.model_uri,
        "model_digest": held.model_digest,
    }
    record = {**meta, "mlflow_run": mlflow_run, "mlflow_version": mlflow_version, "night": night.night}
    write_json(out / "version.json", record)
    log.info(f"registered {name} version {version} ({meta['verdict']})")
    return Outcome(meta=meta, stats={"mlflow_run": mlflow_run})


class _Facts:
    """What is known about the night, in MLflow's terms."""

    def __init__(
        self,
        spec: RegisterSpec,
        night: Night,
        verdict: dict[str, Any],
        evaluation: Path,
        lineage: dict[str, Any],
        cost: dict[str, float],
    ) -> None:
        self.night, self.verdict, self.evaluation, self.lineage = night, verdict, evaluation, lineage
        self.cost = cost
        dataset = (lineage.get("ingest") or {}).get("digest", "")
        self.tags = {
            **spec.tags,
            "verdict": str(verdict.get("verdict")),
            "aimass.sentence": str(verdict.get("sentence", ""))[:SENTENCE_LIMIT],
            "aimass.as_of": night.as_of.isoformat(),
            "aimass.dataset_digest": str(dataset),
        }
        self.params = {key: canonical_json(value) for key, value in night.model.model_dump(mode="json").items()}
        for stage, ref in lineage.items():
            self.params[f"{stage}.digest"] = str(ref.get("digest", "")) if isinstance(ref, dict) else str(ref)

    def metrics(self) -> dict[str, float]:
        """Return every finite number of the verdict, ``metrics.json`` and the cost, nested names joined by a dot."""
        path = self.evaluation / "metrics.json"
        found = _numbers(json.loads(path.read_bytes())) if path.is_file() else {}
        return {**found, **_numbers(self.verdict), **_numbers(self.cost)}


def _publish(
    settings: Settings, ledger: Ledger, facts: _Facts, version: int, opened: ModelDirectory
) -> tuple[str | None, str | None]:
    """Register in MLflow; should that fail, the night goes on, for MLflow is not the authority."""
    name = facts.night.model.name
    what = Publication(
        model=name,
        night=facts.night.night,
        version=version,
        opened=opened,
        evaluation=facts.evaluation,
        metrics=facts.metrics(),
        params=facts.params,
        tags={**facts.tags, "aimass.model_digest": opened.digest},
        lineage=facts.lineage,
    )
    key = f"{ALERT}-v{version}"
    try:
        done = publish(settings, what)
        ledger.resolve_alert(name, key)
        return done
    except Exception as error:  # noqa: BLE001  # whatever MLflow or its database raises must not fail a night
        text = f"version {version} of {name} is not in MLflow: {type(error).__name__}: {error}"[:500]
        log.warning(text)
        ledger.alert(name, ALERT, text, key)
        return None, None


def _numbers(value: Any, prefix: str = "") -> dict[str, float]:
    if isinstance(value, dict):
        found: dict[str, float] = {}
        for key, item in value.items():
            clean = "".join(c if c.isalnum() or c in "_-. /" else "_" for c in str(key))
            found.update(_numbers(item, f"{prefix}{clean}."))
        return found
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return {}
    return {prefix.rstrip("."): float(value)}
