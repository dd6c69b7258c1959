"""What clusters differ in and components are made of; the pictures of both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation.explanation import cluster_profile as profile_module
from pipelines.evaluation.explanation.cluster_profile import correlation_ratio, profile
from pipelines.evaluation.report.cluster_plots import draw, flattened
from pipelines.metrics.unsupervised import MemberOutput

PNG = b"\x89PNG\r\n\x1a\n"


def table() -> tuple[pd.DataFrame, np.ndarray]:
    """Three groups: 0 differs from 1 in ``size``, both from 2 in ``colour``; ``noise`` says nothing."""
    rng = np.random.default_rng(0)
    group = np.repeat([0.0, 1.0, 2.0], [300, 200, 100])
    frame = pd.DataFrame(
        {
            "size": np.where(group == 0, 10.0, 20.0) + rng.normal(scale=0.1, size=600),
            "colour": np.where(group == 2, "red", "blue"),
            "noise": rng.normal(size=600),
            "day": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.where(group == 1, 100, 0), unit="D"),
            "same": 7.0,
        }
    )
    frame.loc[::50, "size"] = np.nan
    frame.loc[frame.index[5::50], "colour"] = None
    return frame, group


def test_clusters_are_described_by_what_they_differ_in() -> None:
    rows, group = table()
    described = profile(rows, list(rows.columns), group)
    assert described["heads"] == [{"name": "0", "rows": 300}, {"name": "1", "rows": 200}, {"name": "2", "rows": 100}]
    entries = {entry["column"]: entry for entry in described["columns"]}
    assert list(entries)[-1] == "noise"
    assert "same" not in entries, "nothing to tell"
    assert entries["noise"]["share"] < 0.02 < 0.9 < entries["size"]["share"]
    assert entries["day"]["share"] == pytest.approx(1.0)
    assert entries["day"]["cells"] == ["2026-01-01", "2026-04-11", "2026-01-01"]
    assert [float(cell) for cell in entries["size"]["cells"]] == pytest.approx([10, 20, 20], abs=0.05)
    assert [cell.split(" ")[0] for cell in entries["colour"]["cells"]] == ["blue", "blue", "red"]


def test_noise_comes_last_and_large_means_are_readable() -> None:
    rows = pd.DataFrame({"area": [52_000.0] * 5 + [170_000.4] * 3})
    described = profile(rows, ["area"], np.array([-1.0] * 5 + [0.0] * 3))
    assert described["heads"] == [{"name": "0", "rows": 3}, {"name": "noise", "rows": 5}]
    assert described["columns"][0]["cells"] == ["170,000", "52,000"]


def test_odd_values_are_described_too() -> None:
    group = np.array([0.0, 0.0, 1.0, 1.0])
    rows = pd.DataFrame(
        {
            "until": pd.array(["9999-12-31", "9999-12-31", None, "1200-01-01"], dtype="datetime64[us, UTC]"),
            "tiny": np.array([1e-9, 2e-9, 3e-9, 4e-9]) + 1.0e-3,
            "huge": [1e308, -1e308, np.inf, 1.0],
            "flag": pd.array([True, None, False, True], dtype="boolean"),
            "text": ["x" * 500, "y", "y", "y"],
            "empty": [np.nan] * 4,
        }
    )
    for predicted in (group, np.column_stack([group, -group])):
        described = profile(rows, list(rows.columns), predicted)
        json.dumps(described, allow_nan=False)
        entries = {entry["column"]: entry for entry in described["columns"]}
        assert set(entries) == {"until", "tiny", "huge", "flag", "text"}
        assert max(len(cell) for entry in described["columns"] for cell in entry["cells"]) < 60
    entries = {entry["column"]: entry for entry in profile(rows, list(rows.columns), group)["columns"]}
    assert entries["until"]["cells"] == ["9999-12-31", "1200-01-01"]
    assert entries["tiny"]["share"] == pytest.approx(0.8)


def test_the_largest_clusters_are_shown_and_noise() -> None:
    predicted = np.repeat(np.arange(-1.0, 12.0), np.arange(30, 4, -2))
    described = profile(pd.DataFrame({"x": predicted}), ["x"], predicted)
    assert [head["name"] for head in described["heads"]] == [*map(str, range(8)), "noise"]
    assert described["others"] == 4
    fewer = predicted[predicted < 9]
    assert profile(pd.DataFrame({"x": fewer}), ["x"], fewer)["others"] == 1, "noise is no cluster"
    many = pd.DataFrame({"word": [f"w{number}" for number in range(200)] + ["often"] * 2})
    cells = profile(many, ["word"], np.zeros(202))["columns"]
    assert [one["cells"] for one in cells] == [["often (1%)"]], "not those that are taken together"
    assert cells[0]["share"] == pytest.approx(0.0, abs=1e-12)


def test_the_ratio_is_that_of_the_analysis_of_variance_and_tau() -> None:
    values = np.array([1.0, 3.0, 5.0, 7.0])[:, None]
    assert correlation_ratio(values, np.array([0, 0, 1, 1])) == pytest.approx(16 / 20)
    indicator = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=float)
    assert correlation_ratio(indicator, np.array([0, 0, 1, 1])) == pytest.approx(1.0)
    assert correlation_ratio(indicator, np.array([0, 1, 0, 1])) == pytest.approx(0.0)
    assert correlation_ratio(np.ones((4, 1)), np.array([0, 0, 1, 1])) is None
    assert correlation_ratio(np.empty((0, 1)), np.empty(0, dtype=int)) is None


def test_components_are_described_by_their_correlations() -> None:
    rows, group = table()
    predicted = np.column_stack([-rows["size"].fillna(15.0), (group == 2) * 1.0])
    described = profile(rows, list(rows.columns), predicted)
    assert [head["name"] for head in described["heads"]] == ["1", "2"]
    entries = {entry["column"]: entry for entry in described["columns"]}
    assert entries["size"]["cells"][0] == "-1.00"
    assert float(entries["colour"]["cells"][1]) > 0.9
    assert entries["colour"]["cells"][1][0] != "+", "a category has no direction"
    assert "same" not in entries


def test_many_rows_are_thinned_and_still_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, group = table()
    whole = profile(rows, ["size", "colour"], group)
    monkeypatch.setattr(profile_module, "MAX_ROWS", 90)
    thin = profile(rows, ["size", "colour"], group)
    assert thin["heads"] == whole["heads"]
    assert [one["share"] for one in thin["columns"]] == pytest.approx(
        [one["share"] for one in whole["columns"]], abs=0.1
    )


@pytest.mark.parametrize("clusters", [1, 3, 14])
def test_clusters_are_drawn(clusters: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(400) % clusters - (np.arange(400) % 50 == 0)
    points = rng.normal(size=(400, 5)) + 4.0 * labels[:, None]
    names = draw(tmp_path / "plots", MemberOutput(points, labels.astype(float)), "demo, 400 sealed rows")
    assert names == ["map.png", "silhouettes.png"]
    assert all((tmp_path / "plots" / name).read_bytes().startswith(PNG) for name in names)


@pytest.mark.parametrize("components", [1, 2, 30])
def test_components_are_drawn(components: int, tmp_path: Path) -> None:
    points = np.random.default_rng(2).normal(size=(300, 40)) * np.linspace(3, 1, 40)
    predicted = points[:, :components]
    names = draw(tmp_path / "plots", MemberOutput(points, predicted, points), "demo, 300 sealed rows")
    assert names == ["map.png", "variance.png"]
    assert all((tmp_path / "plots" / name).read_bytes().startswith(PNG) for name in names)


def test_the_map_keeps_the_directions_of_most_variance() -> None:
    points = np.random.default_rng(3).normal(size=(500, 4)) * [1.0, 5.0, 0.1, 3.0]
    flat, shares = flattened(points)
    assert shares == pytest.approx([25 / 35, 9 / 35], abs=0.05)
    assert np.abs(np.corrcoef(flat[:, 0], points[:, 1])[0, 1]) > 0.99
    one, only = flattened(points[:, :1])
    assert only.tolist() == [1.0, 0.0]
    assert np.ptp(one[:, 1]) == 0.0
