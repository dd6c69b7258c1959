from __future__ import annotations

from math import log

import numpy as np
import pandas as pd
import pytest

from pipelines.monitoring.drift.bins import Bins, counts_of
from pipelines.monitoring.drift.significance import psi
from pipelines.population_stability import FLOOR, stability_index


def column_index(reference: dict[str, object], values: pd.Series) -> float:
    bins = Bins.of(reference)
    return float(psi(bins.shares, counts_of(bins.codes(values), len(bins.shares)) / len(values)))


def reference_of(values: np.ndarray, bins: int = 10) -> dict[str, object]:
    edges = np.quantile(values, np.linspace(0, 1, bins + 1))
    counts = np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=bins)
    return {"kind": "number", "edges": list(edges[1:-1]), "shares": list(counts / len(values))}


def test_index_by_hand() -> None:
    expected = (0.5 - 0.4) * log(0.5 / 0.4) + (0.5 - 0.6) * log(0.5 / 0.6)
    assert stability_index(np.array([0.4, 0.6]), np.array([0.5, 0.5])) == pytest.approx(expected)
    assert stability_index(np.array([0.4, 0.6]), np.array([0.4, 0.6])) == 0.0
    assert stability_index(np.array([0.0, 1.0]), np.array([0.1, 0.9])) == pytest.approx(
        (0.1 - FLOOR) * log(0.1 / FLOOR) + (0.9 - 1.0) * log(0.9)
    )


def test_stationary_windows_stay_quiet_and_a_shift_of_half_a_sigma_is_found() -> None:
    rng = np.random.default_rng(7)
    reference = reference_of(rng.normal(size=20_000))
    quiet = [column_index(reference, pd.Series(rng.normal(size=500))) for _ in range(300)]
    shifted = [column_index(reference, pd.Series(rng.normal(0.5, 1, size=500))) for _ in range(300)]
    assert max(quiet) < 0.2
    assert np.mean(np.array(shifted) > 0.2) >= 0.85
    assert min(shifted) > max(0.1, np.median(quiet))


def test_new_category_and_missing_values_count() -> None:
    reference = {"kind": "category", "categories": ["a", "b"], "shares": [0.7, 0.3]}
    same = pd.Series(["a"] * 700 + ["b"] * 300)
    assert column_index(reference, same) == pytest.approx(0.0)
    assert column_index(reference, pd.Series(["a"] * 650 + ["b"] * 300 + ["new"] * 50)) > 0.2
    assert column_index(reference, pd.Series(["a"] * 650 + ["b"] * 300 + [None] * 50)) > 0.2


def test_missing_share_of_the_reference_is_expected() -> None:
    reference = {"kind": "number", "edges": [0.0], "shares": [0.45, 0.45]}
    values = pd.Series([-1.0] * 45 + [1.0] * 45 + [np.nan] * 10)
    assert column_index(reference, values) == pytest.approx(0.0)
    assert column_index(reference, values.fillna(1.0)) > 0.05
