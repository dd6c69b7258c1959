from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import models_table

    yield models_table
    sys.modules.pop("models_table", None)


def cells(table: Any, systems: dict[str, float], rows: int = 800, seeds: tuple[int, ...] = (0, 1)) -> list[Any]:
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=rows)
        noise = rng.normal(size=rows)
        facts = {
            "fit_seconds": 10.0,
            "budget_seconds": 10.2,
            "process_seconds": 20.0,
            "peak_bytes": 5e8,
            "bytes": 2e6,
            "row_ms": 0.5,
            "rows_ms": 12.0,
        }
        for system, spread in systems.items():
            found.append(table.Cell("made", seed, system, "rmse", truth, truth + spread * noise, facts, True))
    return found


def test_ratio_of_two_systems_is_that_of_their_errors_and_its_interval_is_paired(table: Any) -> None:
    found = table.errors(cells(table, {"ours": 0.9, "autogluon": 1.0}))["made"]
    value, low, high = table.ratio(found["ours"], found["autogluon"])
    assert value == pytest.approx(0.9)
    assert low == pytest.approx(0.9)
    assert high == pytest.approx(0.9)
    assert table.verdict(low, high) == "win"


def test_predictions_that_differ_by_chance_alone_are_a_tie(table: Any) -> None:
    made = cells(table, {"ours": 1.0}, seeds=(0,))
    other = cells(table, {"flaml": 1.0}, seeds=(0,))
    rng = np.random.default_rng(9)
    other[0].predictions[:] = other[0].truth + rng.normal(size=len(other[0].truth))
    found = table.errors([*made, *other])["made"]
    _, low, high = table.ratio(found["ours"], found["flaml"])
    assert low < 1.0 < high
    assert table.verdict(low, high) == "tie"


def test_only_seeds_that_every_system_has_are_compared(table: Any) -> None:
    made = [cell for cell in cells(table, {"ours": 0.9, "flaml": 1.0}) if (cell.system, cell.seed) != ("flaml", 1)]
    assert table.errors(made)["made"]["ours"].seeds == (0,)


def test_tables_say_wins_and_how_far_each_target_is(table: Any, capsys: pytest.CaptureFixture[str]) -> None:
    table.print_tables(cells(table, {"ours": 0.9, "autogluon": 1.0, "flaml": 0.95}), 10.0)
    told = capsys.readouterr().out
    assert "0.900 [0.900, 0.900] win" in told
    assert "autogluon      0.9000" in told
    assert "tune and ensemble, seconds / budget, most" in told
    assert "1.020  target 1.05  met" in told
    assert "peak memory / AutoGluon's, most (made)" in told
    assert "1.000  target 0.75  missed" in told
