from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation.report.reference_distribution import reference
from pipelines.growing_columns import gap_counts, grows

N = 2_000
RANDOM = np.random.default_rng(0)
TIME = np.sort(RANDOM.uniform(0, 1e6, N))
MONTH = np.floor(TIME / 1e6 * 12)


@pytest.mark.parametrize(
    ("values", "time", "expected"),
    [
        (np.arange(N) + 1_000.0, TIME, True),
        (TIME * 1_000 + 1.7e12, TIME, True),
        (MONTH, TIME, True),
        (RANDOM.normal(size=N) + TIME / 1e6, TIME, False),
        (RANDOM.normal(size=N), TIME, False),
        (np.arange(N) + 0.0, RANDOM.permutation(TIME), False),
        (RANDOM.permutation(N) + 500.0, None, True),
        (RANDOM.choice(2 * N, N, replace=False) + 0.0, None, True),
        (RANDOM.choice(1_000 * N, N, replace=False) + 0.0, None, False),
        (RANDOM.integers(18, 90, N) + 0.0, None, False),
        (RANDOM.normal(size=N), None, False),
        (np.full(N, np.nan), None, False),
        (np.arange(N) + 0.0, np.zeros(N), False),
    ],
)
def test_what_grows_with_time(values: np.ndarray, time: np.ndarray | None, expected: bool) -> None:
    assert grows(values, time, N) is expected


def test_gaps_do_not_depend_on_level_scale_and_how_many_rows_are_seen() -> None:
    numbers = np.arange(20_000.0)
    for seen in (numbers, numbers + 1e9, numbers * 1_000, RANDOM.choice(numbers, 800, replace=False)):
        counts = gap_counts(seen)
        assert counts[1] == counts.sum() == len(seen) - 1
    assert gap_counts(np.concatenate([numbers[:100], [5.0] * 300]))[3] == 300
    assert gap_counts(np.asarray([np.nan, 1.0])).sum() == 0


def test_the_reference_marks_them_and_knows_the_missing_share() -> None:
    rows = pd.DataFrame({"order": np.arange(N) + 1.0, "amount": RANDOM.normal(size=N), "town": ["a", None] * (N // 2)})
    described = reference(rows, list(rows))
    assert described["order"]["kind"] == "growing"
    assert described["order"]["gaps"] == [0.0, 1.0, 0.0, 0.0]
    assert described["amount"]["kind"] == "number"
    assert described["town"]["missing"] == 0.5
    assert {entry["rows"] for entry in described.values()} == {N}
    weighted = reference(rows.assign(_weight=np.where(np.arange(N) < N // 2, 3.0, 1.0)), ["amount"])
    assert weighted["amount"]["rows"] == pytest.approx(1_600)
