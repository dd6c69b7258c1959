"""What somebody deletes or renames in MLflow is there again after the next night, and the alert about it ends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipelines.registry import stage
from pipelines.registry.aliases import PROJECTED_TAG, reconcile
from pipelines.registry.spec import RegisterSpec
from pipelines.registry.tracking import NIGHT_TAG, VERSION_TAG, client
from pipelines.registry.upkeep import EARLIER, needed

nights = count(10)


@pytest.fixture(scope="module")
def live(packaged: SimpleNamespace) -> SimpleNamespace:
    """Version 1, registered and live."""
    packaged.ledger.open_night(packaged.night, "local")
    packaged.ledger.switch("demo", 1, 0, "test", "test")
    assert reconcile(packaged.settings, packaged.ledger, "demo")
    return packaged


def next_night(live: SimpleNamespace, tiny: ModuleType, root: Path) -> int:
    """Register the version of another night and return its number."""
    number = next(nights)
    night = live.night_of(f"night-{number}", day=number)
    out = root / "out"
    out.mkdir()
    inputs = tiny.as_inputs(root / "in", live.settings, number)
    done = stage.run(RegisterSpec(), night=night, settings=live.settings, out=out, **inputs)
    version = done.meta["version"]
    assert isinstance(version, int)
    return version


def in_mlflow(live: SimpleNamespace) -> dict[int, Any]:
    """Return MLflow's versions of the model by the ledger's numbers."""
    api = client(live.settings)
    return {int(each.tags[VERSION_TAG]): each for each in api.search_model_versions("name='demo'")}


def number_of(live: SimpleNamespace, version: int) -> str:
    return str(in_mlflow(live)[version].version)


def delete_registered_model(live: SimpleNamespace) -> None:
    client(live.settings).delete_registered_model("demo")


def rename_registered_model(live: SimpleNamespace) -> None:
    client(live.settings).rename_registered_model("demo", "demo-old")


def delete_version(live: SimpleNamespace) -> None:
    client(live.settings).delete_model_version("demo", number_of(live, 1))


def delete_run(live: SimpleNamespace) -> None:
    client(live.settings).delete_run(in_mlflow(live)[1].run_id)


def delete_experiment(live: SimpleNamespace) -> None:
    api = client(live.settings)
    api.delete_experiment(api.get_experiment_by_name("demo").experiment_id)


def rename_experiment(live: SimpleNamespace) -> None:
    api = client(live.settings)
    api.rename_experiment(api.get_experiment_by_name("demo").experiment_id, "mine")


def delete_logged_model(live: SimpleNamespace) -> None:
    api = client(live.settings)
    run = api.get_run(in_mlflow(live)[1].run_id)
    api.delete_logged_model(run.data.tags["aimass.logged_model"].removeprefix("models:/"))


def delete_alias(live: SimpleNamespace) -> None:
    client(live.settings).delete_registered_model_alias("demo", "champion")


def delete_everything(live: SimpleNamespace) -> None:
    delete_logged_model(live)
    delete_experiment(live)
    delete_registered_model(live)


@pytest.mark.parametrize(
    "fault",
    [
        delete_registered_model,
        rename_registered_model,
        delete_version,
        delete_run,
        delete_experiment,
        rename_experiment,
        delete_logged_model,
        delete_alias,
        delete_everything,
    ],
)
def test_the_next_night_brings_it_back(
    live: SimpleNamespace, tiny: ModuleType, tmp_path: Path, fault: Callable[[SimpleNamespace], None]
) -> None:
    fault(live)
    reconcile(live.settings, live.ledger, "demo")  # as after a switch: it may find what is missing
    version = next_night(live, tiny, tmp_path)
    api = client(live.settings)
    found = in_mlflow(live)
    assert {1, version} <= found.keys()
    experiment = api.get_experiment_by_name("demo")
    assert experiment.lifecycle_stage == "active"
    for each in (1, version):
        row = live.ledger.version("demo", each)
        run = api.get_run(found[each].run_id)
        assert run.info.lifecycle_stage == "active"
        assert run.info.experiment_id == experiment.experiment_id
        assert run.data.tags[NIGHT_TAG] == row.night
        assert row.mlflow_run == found[each].run_id
        assert found[each].tags["aimass.model_digest"] == row.model_digest
        api.get_logged_model(run.data.tags["aimass.logged_model"].removeprefix("models:/"))
    registered = api.get_registered_model("demo")
    assert {alias: str(number) for alias, number in registered.aliases.items()} == {
        "champion": number_of(live, 1),
        "challenger": number_of(live, version),
    }
    assert registered.tags[PROJECTED_TAG] == number_of(live, 1)
    assert live.ledger.alerts() == []


def test_what_is_missing_is_an_alert_until_then(live: SimpleNamespace, tiny: ModuleType, tmp_path: Path) -> None:
    delete_version(live)
    assert not reconcile(live.settings, live.ledger, "demo")
    (alert,) = live.ledger.alerts()
    assert "no version tagged aimass.version=1" in alert.message
    next_night(live, tiny, tmp_path)
    assert live.ledger.alerts() == []


def test_versions_that_were_never_live_are_left_alone(live: SimpleNamespace, tiny: ModuleType, tmp_path: Path) -> None:
    version = next_night(live, tiny, tmp_path)
    assert [row.version for row in needed(live.ledger, "demo")] == [1]
    live.ledger.switch("demo", version, 0, "test", "test")
    live.ledger.switch("demo", 1, 0, "test", "test")
    assert [row.version for row in needed(live.ledger, "demo")] == [1, version]
    assert EARLIER >= 1


def test_a_move_by_hand_is_left_for_the_platform_to_judge(
    live: SimpleNamespace, tiny: ModuleType, tmp_path: Path
) -> None:
    reconcile(live.settings, live.ledger, "demo")
    (tmp_path / "a").mkdir()
    first = next_night(live, tiny, tmp_path / "a")
    api = client(live.settings)
    api.set_registered_model_alias("demo", "champion", number_of(live, first))
    (tmp_path / "b").mkdir()
    next_night(live, tiny, tmp_path / "b")
    assert str(api.get_registered_model("demo").aliases["champion"]) == number_of(live, first)
    assert reconcile(live.settings, live.ledger, "demo"), "a switch of the ledger comes after it"
    assert str(api.get_registered_model("demo").aliases["champion"]) == number_of(live, 1)


def test_an_alias_that_lags_behind_a_switch_was_not_moved(
    live: SimpleNamespace, tiny: ModuleType, tmp_path: Path
) -> None:
    reconcile(live.settings, live.ledger, "demo")
    version = next_night(live, tiny, tmp_path)
    live.ledger.switch("demo", version, 0, "test", "test")  # and MLflow was away then
    try:
        reconcile(live.settings, live.ledger, "demo", moved=False)
        aliases = client(live.settings).get_registered_model("demo").aliases
        assert str(aliases["champion"]) == number_of(live, version)
    finally:
        live.ledger.switch("demo", 1, 0, "test", "test")
        reconcile(live.settings, live.ledger, "demo")
