"""A home with a ledger, a file to publish, and a night whose clean table has private columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import storage
from pipelines.artifacts import Night
from pipelines.ingestion.spec import Files
from pipelines.ledger import Ledger
from pipelines.ledger.mart import MartRow
from pipelines.mart.origin import of_source
from pipelines.mart.publish import Wish, publish
from pipelines.settings import Settings

Put = Callable[..., tuple[MartRow, bool]]


@pytest.fixture
def ledger(home: Settings) -> Iterator[Ledger]:
    with Ledger.open(home) as ledger:
        yield ledger


@pytest.fixture
def put(home: Settings, ledger: Ledger, tmp_path: Path) -> Put:
    """Publish lines of CSV as a table."""

    def run(text: str, name: str = "visits", **wish: Any) -> tuple[MartRow, bool]:
        path = tmp_path / "source.csv"
        path.write_text(text)
        with of_source(home, Files(path=str(path), incremental=False)) as origin:
            return publish(home, ledger, name, origin, Wish(**wish), "test")

    return run


@pytest.fixture
def cleaned(home: Settings, ledger: Ledger, make_night: Callable[..., Night]) -> Night:
    """A night whose stage clean has finished; `email` is to be hashed, `phone` dropped, `loud` is made of `email`."""
    night = make_night("n1", private={"email": "hash", "phone": "drop"})
    ledger.open_night(night, "local")
    spec = {"source": "x.csv", "derived": [{"name": "loud", "expression": "length(email) > 3"}]}
    table = pa.table(
        {
            "_key": ["a", "b", "c"],
            "_time": pa.array([None, None, None], pa.timestamp("us", "UTC")),
            "_sealed": [True, False, False],
            "_weight": [1.0, 1.0, 1.0],
            "_y": ["yes", "no", "yes"],
            "email": ["a@b", "c@d", None],
            "phone": ["1", "2", "3"],
            "loud": [0.0, 1.0, 0.0],
            "x": [1.5, float("nan"), 2.0],
        }
    )
    for stage, declared in (("ingest", spec), ("clean", {})):
        out = storage.stage_folder(home, stage)
        storage.write_table(table, out / ("raw" if stage == "ingest" else "cleaned"))
        uri = f"nights/demo/n1/{stage}-1"
        digest = storage.publish(out, home.storage / uri, stage=stage, rows=3)
        fence = ledger.begin_stage("demo", "n1", stage, declared)
        made_of = {"model": night.model.model_dump(mode="json")}
        ref = {"uri": uri, "digest": digest, "stage": stage, "rows": 3, "meta": {}}
        ledger.finish_stage("demo", "n1", stage, fence, state="done", ref=ref, made_of=made_of)
    ledger.close_night("demo", "n1", "success")
    return night


LATER = datetime(2100, 1, 1, tzinfo=UTC)
