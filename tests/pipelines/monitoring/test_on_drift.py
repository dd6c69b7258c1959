"""What an alert says about the next night is what the model's DAG file declares."""

from __future__ import annotations

import pytest

from pipelines.monitoring.on_drift import what_follows
from pipelines.settings import Settings

BY_ITSELF = "A night follows by itself once a probe shows that retraining pays"
NOT = "No night follows by itself"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("with retrain_dag(MODEL, specs=[A], on_drift=True):\n    pass\n", BY_ITSELF),
        ("with aimass_airflow.retrain_dag(MODEL, on_drift=True) as dag:\n    pass\n", BY_ITSELF),
        ("with retrain_dag(MODEL, on_drift=False):\n    pass\n", NOT),
        ("with retrain_dag(MODEL):\n    other(on_drift=True)\n", NOT),
        ("with retrain_dag(\n", NOT),
        (None, NOT),
    ],
)
def test_what_follows(home: Settings, text: str | None, said: str) -> None:
    if text is not None:
        home.dags.mkdir(parents=True, exist_ok=True)
        (home.dags / "retrain_demo.py").write_text(text)
    assert what_follows(home, "demo").startswith(said)
