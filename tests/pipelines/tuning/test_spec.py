from __future__ import annotations

import pytest

from pipelines.errors import SpecError
from pipelines.tuning.spec import TuneSpec


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"families": ()}, "name at least one"),
        ({"families": ("linear", "linear")}, "twice"),
        ({"families": ("forest",)}, "lightgbm"),
        ({"budget_seconds": None}, "set one"),
        ({"budget_seconds": 2}, "greater than or equal to 10"),
        ({"families": ("Forest!",)}, "pattern"),
        ({"strategy": "genetic"}, "nsga2"),
        ({"trails": 8}, "Extra inputs"),
        ({"fixed": {"kmean": {"clusters": 5}}}, "no family is called kmean"),
        ({"fixed": {"svm": {}}, "families": ("linear",)}, "which families leaves out"),
    ],
)
def test_wrong_settings_say_what_would_be_right(fields: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        TuneSpec(**fields)


def test_every_family_of_the_registry_may_be_named() -> None:
    from pipelines.algorithms.registry import ALGORITHMS as BUILT
    from pipelines.tuning.spec import FAMILIES

    assert TuneSpec(families=tuple(BUILT)).families == tuple(BUILT)
    assert set(FAMILIES) == set(BUILT) - {"kmeans", "dbscan", "pca"}, "what the form offers can learn a target"
    assert set(TuneSpec().families) <= set(BUILT)
