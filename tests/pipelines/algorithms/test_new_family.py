"""A family is made from the guide's words: the code that CONTRIBUTING.md shows is run as it stands there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms.base import Family, Limit
from pipelines.algorithms.catalogue import FAMILIES, families_for, family
from pipelines.inference.members import LOADERS, load_member
from pipelines.metrics import METRICS
from pipelines.tuning.crossval import cross_validate

GUIDE = Path(__file__).parents[3] / "CONTRIBUTING.md"


def blocks() -> dict[str, str]:
    """Code blocks of the section, by the file that their first line names."""
    section = GUIDE.read_text().split("## A new estimator family")[1].split("\n## ")[0]
    found = re.findall(r"```python\n# (\S+)\n(.*?)```", section, flags=re.DOTALL)
    return dict(found)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    code = blocks()
    source = tmp_path / "nearest_centroid.py"
    source.write_text(code["pipelines/algorithms/nearest_centroid.py"])
    loaded = importlib.util.spec_from_file_location("nearest_centroid", source)
    assert loaded is not None
    assert loaded.loader is not None
    module = importlib.util.module_from_spec(loaded)
    monkeypatch.setitem(sys.modules, "nearest_centroid", module)
    loaded.loader.exec_module(module)
    line = code["pipelines/algorithms/catalogue.py"]
    name, path = re.findall(r'"(\w+)": "pipelines\.algorithms\.(\S+)"', line)[0]
    monkeypatch.setitem(FAMILIES, name, path)
    name, loader = re.findall(r'"(\w+)": (\w+)\.load', code["pipelines/inference/members.py"])[0]
    monkeypatch.setitem(LOADERS, name, getattr(module, loader).load)
    return family("nearest_centroid")


def test_the_guides_family_learns_and_is_kept(built: Family, tmp_path: Path) -> None:
    assert built.name in families_for("binary")
    assert built.name not in families_for("regression")
    for task in ("binary", "multiclass"):
        columns = make_columns(task)
        space = built.space(columns.shape)
        assert all(set(params) == set(space) for params in built.portfolio(columns.shape))
        result = cross_validate(built, built.default(columns.shape), columns, seed=0)
        assert np.isfinite(result.loss)
        fitted = built.fit(
            built.default(columns.shape), columns.whole(), None, columns.shape, seed=0, threads=1, limit=Limit()
        )
        answer = fitted.predict(columns.X)
        assert METRICS["accuracy"].score(columns.y, answer, columns.w) > 1.3 / columns.shape.classes
        again = load_member(tmp_path, fitted.save(tmp_path, f"0-{task}")).predict(columns.X)
        np.testing.assert_array_equal(again, answer)
