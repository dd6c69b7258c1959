from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipelines import settings as settings_module
from pipelines.cli.show import card_of


def test_the_card_of_the_live_version_outlives_its_night(tmp_path: Path) -> None:
    settings = settings_module.load(home=tmp_path / "home")
    version = SimpleNamespace(version=2, night="n2", mlflow_run="r2")
    stages = [SimpleNamespace(stage="ingest", ref=None), SimpleNamespace(stage="evaluate", ref={"uri": "nights/e"})]
    ledger: Any = SimpleNamespace(
        versions=lambda name: [version], champion=lambda name: version, stages=lambda name, night: stages
    )
    assert card_of(ledger, settings, "demo") == "-"
    copy = settings.mlflow_dir / "artifacts" / "demo" / "r2" / "artifacts" / "evaluation" / "card.html"
    card = settings.storage / "nights" / "e" / "card.html"
    for path in (copy, card):
        path.parent.mkdir(parents=True)
        path.write_text("")
        assert card_of(ledger, settings, "demo") == str(path)
    nothing: Any = SimpleNamespace(versions=lambda name: [], champion=lambda name: None)
    assert card_of(nothing, settings, "demo") == "-"
