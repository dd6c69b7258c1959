"""An import that was killed leaves nothing: the next one, or housekeeping, takes back what it began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.artifacts import Night
from pipelines.cli.delete import plan
from pipelines.errors import SpecError
from pipelines.housekeeping import imports
from pipelines.housekeeping.imports import import_lock, killed_imports
from pipelines.housekeeping.retention import tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.ledger.nights import IMPORTED
from pipelines.locks import wait_for_lock
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.storage import local_path

NAME = "import__2026-11-29T06:00:00+00:00"


@pytest.fixture
def begun(home: Settings) -> Any:
    """An import that went as far as a version, with its process gone."""
    model = ModelSpec(name="theirs", task="binary", target="label", positive="yes")
    night = Night(model=model, night=NAME, as_of=datetime.now(UTC), fence=1)
    with Ledger.open(home) as ledger:
        ledger.open_night(night, IMPORTED)
        ledger.reserve("theirs", NAME, 1)
        ledger.advance("theirs", NAME, 1, state="staged", model_uri="models/theirs/x", model_digest="x")
        local_path(home, "models/theirs/x").mkdir(parents=True)
        with wait_for_lock(import_lock(home, NAME)):
            assert list(killed_imports(home, ledger, "theirs")) == []  # it runs
        yield ledger


def test_its_version_goes_with_its_files(home: Settings, begun: Ledger) -> None:
    begun.assign_version("theirs", NAME, 1)
    report = tidy(home, HousekeepingSpec(dry_run=True))
    assert [(each.what, each.why) for each in report.items] == [("theirs version 1", imports.WHY)]
    assert begun.night("theirs", NAME).state == "running"
    tidy(home, HousekeepingSpec())
    assert begun.night("theirs", NAME).state == "failed"
    assert begun.versions("theirs") == []
    assert [row.version for row in begun.deleted_versions("theirs")] == [1]
    assert not local_path(home, "models/theirs/x").exists()
    assert not import_lock(home, NAME).exists()
    assert list(killed_imports(home, begun, "theirs")) == []


def test_it_does_not_keep_the_model_from_being_deleted(home: Settings, begun: Ledger) -> None:
    begun.assign_version("theirs", NAME, 1)
    with wait_for_lock(import_lock(home, NAME)), pytest.raises(SpecError, match="it is running"):
        plan(home, begun, "theirs", [], [], "ada", "over")
    for item in plan(home, begun, "theirs", [1], [NAME], "ada", "over"):
        item.remove_from(home)
    assert begun.night("theirs", NAME).state == "deleted"


def test_without_a_version_its_directory_belongs_to_nobody(home: Settings, begun: Ledger) -> None:
    for left in killed_imports(home, begun, "theirs"):
        left.remove_from(home)
    assert begun.night("theirs", NAME).state == "failed"
    assert begun.version_addresses() == set()  # housekeeping removes it as an orphan


def test_one_that_was_made_live_stays(home: Settings, begun: Ledger) -> None:
    begun.assign_version("theirs", NAME, 1)
    begun.switch("theirs", 1, 0, "in a hurry", "promote:ada")
    for left in killed_imports(home, begun, "theirs"):
        left.remove_from(home)
    assert begun.night("theirs", NAME).state == "failed"
    assert begun.route("theirs") == 1
    assert local_path(home, "models/theirs/x").exists()


def test_without_its_lock_it_is_over_after_a_day(
    home: Settings, begun: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_lock(home, NAME).unlink()
    assert list(killed_imports(home, begun, "theirs")) == []  # it may run on another host
    monkeypatch.setattr(imports, "AN_IMPORT_AT_MOST", timedelta(0))
    assert len(list(killed_imports(home, begun, "theirs"))) == 1
