from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pipelines.artifacts import Ref
from pipelines.ledger.reference_models import best_ever, reference_models


def versions(*told: tuple[int, int | None, float | None]) -> list[Any]:
    """Rows of (version, champion that was judged, improvement over it); all were live."""
    return [
        SimpleNamespace(
            version=number,
            live_at="then",
            night=f"n{number}",
            as_of=None,
            model_uri=f"m/{number}",
            model_digest="d",
            verdict={
                "metric": "roc_auc",
                "champion_version": champion,
                "improvement": gain,
                "rows_trained": 7,
                "champion_score": None if gain is None else 0.8,
            },
        )
        for number, champion, gain in told
    ]


def switch(before: int | None, after: int) -> Any:
    return SimpleNamespace(from_version=before, to_version=after)


def test_improvements_add_up_and_scores_of_different_nights_are_not_compared() -> None:
    rows = versions((1, None, None), (2, 1, 0.02), (3, 2, -0.005), (4, 3, -0.006))
    best = best_ever(rows, [])
    assert best is not None
    assert best.version == 2
    best = best_ever([*rows, *versions((5, 4, 0.011))], [])
    assert best is not None
    assert best.version == 5  # as high as version 2: the newest of equals


def test_what_was_rolled_back_from_or_never_live_is_no_anchor() -> None:
    rows = versions((1, None, None), (2, 1, 0.02), (3, 1, 0.001))
    best = best_ever(rows, [switch(None, 1), switch(1, 2), switch(2, 1), switch(1, 3)])
    assert best is not None
    assert best.version == 3
    rows[2].live_at = None
    best = best_ever(rows, [switch(2, 1)])
    assert best is not None
    assert best.version == 1
    assert best_ever([], []) is None


def test_a_version_that_replaced_an_unfit_one_begins_anew() -> None:
    best = best_ever(versions((1, None, None), (2, 1, 0.05), (3, 2, None), (4, 3, 0.001)), [])
    assert best is not None
    assert best.version == 4


def test_rivals_are_the_live_version_and_the_best_one_whose_files_are_there(tmp_path: Any) -> None:
    rows = versions((1, None, None), (2, 1, 0.02), (3, 2, -0.005))
    ledger: Any = SimpleNamespace(champion=lambda model: rows[2], versions=lambda model: rows, history=lambda model: [])
    assert set(reference_models(ledger, "demo", "n9", lambda uri: (tmp_path / uri).is_dir())) == {"champion"}
    (tmp_path / "m" / "2").mkdir(parents=True)
    found = reference_models(ledger, "demo", "n9", lambda uri: (tmp_path / uri).is_dir())
    expected = {"version": 2, "as_of": None, "trained_until": None, "rows_trained": 7}
    assert found["anchor"] == Ref(uri="m/2", digest="d", stage="ensemble", meta=expected)
    assert reference_models(ledger, "demo", "n3", lambda uri: (tmp_path / uri).is_dir()) == {}
