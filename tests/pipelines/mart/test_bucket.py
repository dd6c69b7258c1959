"""Published tables in an object store: another machine reads them, and an expired one is gone there."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import settings as configuration
from pipelines import storage
from pipelines.housekeeping.retention import tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish
from pipelines.mart.tables import TABLE, known_files, preview
from pipelines.settings import Settings

pytestmark = [pytest.mark.usefixtures("own_temporary"), pytest.mark.slow, pytest.mark.full]


def test_a_table_is_read_elsewhere_and_expires(
    home: Settings, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/p")
    here = configuration.load().ensure()
    with Ledger.open(here) as ledger:
        rows = []
        for number in (1, 2):
            table = pa.table({"n": [number, 7]})
            origin = Origin(table.schema, table.to_batches(), {})
            rows.append(publish(here, ledger, "visits", origin, Wish(), "test")[0])
    (tmp_path / "other").mkdir(mode=0o700)
    for path in here.home.glob("ledger.db*"):
        shutil.copy2(path, tmp_path / "other")
    other = here.model_copy(update={"home": tmp_path / "other"}).ensure()
    assert preview(other, rows[1]) == [["2"], ["7"]]
    assert list((other.storage / rows[1].uri / TABLE).glob("*.parquet")) == []  # the first rows alone were brought
    (file,) = known_files(other, "mart:visits@1", datetime.now(UTC))
    assert pq.read_table(file)["n"].to_pylist() == [1, 7]
    report = tidy(here, HousekeepingSpec(tables=1), now=datetime.now(UTC) + timedelta(days=2))
    assert (report.tables, report.failed) == (1, ())
    assert [storage.is_published(here, row.uri) for row in rows] == [False, True]
