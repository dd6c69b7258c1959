"""What Airflow finds through the entry point, and what it must not find in the folder."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import aimass_airflow
import pytest
from aimass_airflow.plugin import AimassPlugin

import pipelines
from pipelines.settings import Settings

ROOT = Path(__file__).parents[2]


def test_entry_point_names_the_plugin() -> None:
    found = {entry.name: entry.load() for entry in entry_points(group="airflow.plugins")}
    assert found["aimass"] is AimassPlugin


def test_links_follow_the_settings(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMASS_MLFLOW_PORT", "15999")
    AimassPlugin.on_load()
    assert next(view["href"] for view in AimassPlugin.external_views) == "http://127.0.0.1:15999"


def test_the_model_center_is_in_the_navigation_and_on_the_page_of_a_dag(home: Settings) -> None:
    AimassPlugin.on_load()
    views = {view["destination"]: view for view in AimassPlugin.external_views if view["name"] == "Model Center"}
    assert (views["nav"]["href"], views["nav"]["url_route"]) == ("/model-center/", "model-center")
    assert views["dag"]["href"] == "/model-center/dag/{DAG_ID}"
    (app,) = AimassPlugin.fastapi_apps
    assert (app["url_prefix"], app["app"]._app) == ("/model-center", None), "made when it is first asked for"


def test_packages_are_imported_from_where_they_belong() -> None:
    assert Path(pipelines.__file__).parent == ROOT / "pipelines"
    assert Path(aimass_airflow.__file__).parent == ROOT / "plugins" / "aimass_airflow"
    patterns = [line for line in (ROOT / "plugins" / ".airflowignore").read_text().splitlines() if line[:1] != "#"]
    assert patterns == [".*"]
