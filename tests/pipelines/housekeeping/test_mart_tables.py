"""Published tables expire by policy, but none that a night or a version was made of; what nothing names goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from pipelines.errors import SpecError
from pipelines.housekeeping.mart_tables import expire
from pipelines.housekeeping.retention import tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish

pytestmark = pytest.mark.usefixtures("own_temporary")
SOON = datetime.now(UTC) + timedelta(days=2)
SPEC = HousekeepingSpec(tables=2, nights=1)


@pytest.fixture
def published(home):
    """Five versions; a version of the model was made of the first, a night that is not kept read the second."""
    with Ledger.open(home) as ledger:
        for number in range(1, 6):
            table = pa.table({"x": [number]})
            publish(home, ledger, "visits", Origin(table.schema, table.to_batches(), {}), Wish(), "test")
    return home


def read(home, make_night, name, version):
    with Ledger.open(home) as ledger:
        ledger.open_night(make_night(name), "local")
        fence = ledger.begin_stage("demo", name, "ingest")
        stats = {"mart": {"main": {"name": "visits", "version": version, "digest": "d"}}}
        ledger.finish_stage("demo", name, "ingest", fence, state="done", ref={"uri": "nights/x/y"}, stats=stats)
        ledger.close_night("demo", name, "success")


def kept(home):
    with Ledger.open(home) as ledger:
        rows = ledger.mart_tables("visits")
        alive = [row.version for row in rows if row.expired_at is None]
        assert [row.version for row in rows if (home.storage / row.uri).is_dir()] == alive
        return alive


def test_old_versions_expire_but_not_those_that_are_named(published, make_night):
    read(published, make_night, "n1", 1)
    with Ledger.open(published) as ledger:
        ledger.reserve("demo", "n1", 1)
        ledger.advance("demo", "n1", 1, state="staged", model_uri="models/demo/x", model_digest="x")
        ledger.assign_version("demo", "n1", 1)
    read(published, make_night, "n2", 2)
    read(published, make_night, "n3", 3)
    dry = tidy(published, SPEC.model_copy(update={"dry_run": True}), now=SOON)
    assert dry.tables == 1
    assert kept(published) == [1, 2, 3, 4, 5]
    report = tidy(published, SPEC, now=SOON)
    assert report.tables == 1
    assert kept(published) == [1, 3, 4, 5]
    with Ledger.open(published) as ledger:
        row = ledger.mart_table("visits", 2)
        assert (row.expired_by, row.expired_why[:9]) == ("housekeeping", "older tha")
        for version, why in ((1, "version 1 of demo was made of it"), (3, "the night n3 of demo read it")):
            with pytest.raises(SpecError, match="cannot expire") as caught:
                expire(published, ledger, f"mart:visits@{version}", 1, "ada", "why")
            assert caught.value.seen == why


def test_nothing_expires_while_it_is_fresh_or_a_night_runs(published, make_night):
    assert tidy(published, SPEC).tables == 0
    with Ledger.open(published) as ledger:
        ledger.open_night(make_night("running"), "local")
    assert tidy(published, SPEC, now=datetime.now(UTC) + timedelta(hours=1)).tables == 0
    assert tidy(published, HousekeepingSpec(tables=2, spare_hours=1000), now=SOON).tables == 0


def test_a_folder_that_the_ledger_does_not_name_goes(published):
    orphan = published.storage / "mart" / "visits" / "0123-abcd"
    orphan.mkdir()
    (orphan / "manifest.json").write_text("{}")
    report = tidy(published, HousekeepingSpec(), now=SOON)
    assert report.orphans == 1
    assert not orphan.exists()
    assert kept(published) == [1, 2, 3, 4, 5]
