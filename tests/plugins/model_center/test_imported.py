"""The pages of a model that was imported, and that no DAG file trains."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from center import center_of

from pipelines import settings as settings_module
from pipelines.artifacts import Night
from pipelines.ledger import Ledger
from pipelines.spec import ModelSpec


@pytest.fixture
def imported(tmp_path, airflow_users, away):
    settings = settings_module.load(home=tmp_path / "home", mlflow_port=1024).ensure()
    model = ModelSpec(name="theirs", task="binary", target="label", positive="yes")
    night = Night(model=model, night="import__2026-11-29T06:00:00+00:00", as_of=datetime.now(UTC), fence=1)
    verdict = {"verdict": "kept", "metric": "roc_auc", "sentence": "Imported from m.onnx.", "imported": {"file": "m"}}
    with Ledger.open(settings) as ledger:
        ledger.open_night(night, "import")
        ledger.reserve("theirs", night.night, 1)
        facts = {"model_uri": "models/theirs/x", "model_digest": "x", "metric": "roc_auc", "as_of": night.as_of}
        ledger.advance("theirs", night.night, 1, state="registered", verdict=verdict, **facts)
        ledger.assign_version("theirs", night.night, 1)
        ledger.close_night("theirs", night.night, "success", {**verdict, "version": 1})
        yield center_of(settings, ledger, airflow_users, away)


@pytest.mark.parametrize("live", [False, True])
def test_its_pages_are_there(imported, live):
    if live:
        imported.ledger.switch("theirs", 1, 0, "trial", "promote:ada")
    with imported.as_("admin") as admin:
        text = admin.get("/").text
        assert "theirs" in text
        page = admin.get("/models/theirs").text
        assert ("Version 1 is live" in page) is live
        pages = (
            "versions",
            "lineage",
            "operation",
            "documents",
            "card",
            "call",
            "parts/live",
            "parts/charts",
            "parts/cost",
        )
        for path in pages:
            assert admin.get(f"/models/theirs/{path}").status_code in (200, 404), path
        assert "Imported from m.onnx." in admin.get("/models/theirs/parts/gate", params={"version": 1}).text
