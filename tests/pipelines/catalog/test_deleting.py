"""Deleting for a person: `aimass delete` in a process of its own, with the person's name in the ledger."""

from __future__ import annotations

import pytest

from pipelines.catalog.deleting import delete_versions
from pipelines.catalog.verbs import MissingError
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.archive import InUseError

pytestmark = pytest.mark.slow


def test_what_goes_is_told_and_what_is_in_use_is_refused(home, make_night):
    with Ledger.open(home) as ledger:
        for number in (1, 2):
            night = make_night(f"night-{number}", name="churn")
            ledger.open_night(night, "local")
            ledger.close_night("churn", night.night, "success", {})
            model = home.storage / "models" / "churn" / str(number)
            model.mkdir(parents=True)
            (model / "model.json").write_bytes(b"x" * 2_000)
            ledger.reserve("churn", night.night, 0)
            facts = {"model_uri": f"models/churn/{number}", "model_digest": str(number) * 64}
            ledger.advance("churn", night.night, 0, state="registered", **facts)
            ledger.assign_version("churn", night.night, 0)
        ledger.switch("churn", 2, 0, "test", "test")
        with pytest.raises(MissingError, match="no such version"):
            delete_versions(home, ledger, "churn", [9], "x", "ada", dry_run=True)
        with pytest.raises(SpecError, match="needs a reason"):
            delete_versions(home, ledger, "churn", [1], "", "ada", dry_run=True)
        with pytest.raises(InUseError) as caught:
            delete_versions(home, ledger, "churn", [1, 2], "x", "ada", dry_run=False)
        assert "version 2: it is live" in caught.value.seen
        assert len(ledger.versions("churn")) == 2
        (item,) = delete_versions(home, ledger, "churn", [1], "--wrong prices", "ada", dry_run=False)
        assert (item["bytes"], "version 1" in item["what"]) == (2_000, True)
        (gone,) = ledger.deleted_versions("churn")
        assert gone.verdict["deleted"]["by"] == "delete:ada"
        assert gone.verdict["deleted"]["why"] == "--wrong prices"
