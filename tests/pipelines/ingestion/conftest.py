"""Fixtures of the ingestion tests: the stage run into a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.artifacts import Night, Outcome
from pipelines.inference.enrichment.request import Enrichment
from pipelines.ingestion.spec import IngestSpec
from pipelines.ingestion.stage import run
from pipelines.settings import Settings
from pipelines.storage import read_table


@dataclass
class Ingested:
    """What one run of the stage left."""

    outcome: Outcome
    raw: pa.Table
    report: dict[str, Any]
    enrichment: Enrichment
    out: Path

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """Return the cells of some columns, row by row."""
        return list(zip(*(self.raw[name].to_pylist() for name in columns), strict=True))


@pytest.fixture
def take_in(home: Settings, tmp_path: Path) -> Callable[..., Ingested]:
    """Run the stage for a night; keyword arguments go to its IngestSpec."""

    def build(night: Night, **spec: Any) -> Ingested:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out.mkdir()
        outcome = run(IngestSpec(**spec), night=night, settings=home, out=out)
        report = json.loads((out / "report.json").read_text())
        return Ingested(outcome, read_table(out / "raw"), report, Enrichment.load(out / "enrichment"), out)

    return build
