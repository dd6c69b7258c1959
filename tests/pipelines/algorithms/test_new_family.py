"""A family is made from the guide's words: the code that CONTRIBUTING.md shows is run as it stands there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms import registry
from pipelines.algorithms.base import Family, FitContext
from pipelines.algorithms.families import family
from pipelines.inference.members.registry import load_member
from pipelines.metrics import METRICS
from pipelines.spec import CLASSIFICATION
from pipelines.tuning.crossval import cross_validate
from pipelines.tuning.spec import TuneSpec

GUIDE = Path(__file__).parents[3] / "CONTRIBUTING.md"


def blocks() -> dict[str, str]:
    """Code blocks of the section, by the file that their first line names."""
    section = GUIDE.read_text().split("## A new estimator family")[1].split("\n## ")[0]
    found = re.findall(r"```python\n# (\S+)\n(.*?)```", section, flags=re.DOTALL)
    return dict(found)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    code = blocks()
    for package in ("pipelines.inference", "pipelines.algorithms"):
        name = f"{package}.nearest_centroid"
        source = tmp_path / f"{name}.py"
        source.write_text(code[f"{name.replace('.', '/')}.py"])
        loaded = importlib.util.spec_from_file_location(name, source)
        assert loaded is not None
        assert loaded.loader is not None
        module = importlib.util.module_from_spec(loaded)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(sys.modules[package], "nearest_centroid", module, raising=False)
        loaded.loader.exec_module(module)
    line = code["pipelines/algorithms/registry.py"].strip().rstrip(",")
    algorithm = eval(line, {"Algorithm": registry.Algorithm, "CLASSIFICATION": CLASSIFICATION})  # the guide's own words
    monkeypatch.setitem(registry.ALGORITHMS, algorithm.name, algorithm)
    return family("nearest_centroid")


def test_the_guides_family_learns_and_is_kept(built: Family, tmp_path: Path) -> None:
    assert built.name in registry.algorithms_for("binary")
    assert built.name not in registry.algorithms_for("regression")
    assert TuneSpec(families=(built.name,)).families == (built.name,)
    for task in ("binary", "multiclass"):
        columns = make_columns(task)
        space = built.space(columns.shape)
        assert all(set(params) == set(space) for params in built.portfolio(columns.shape))
        result = cross_validate(built, built.default(columns.shape), columns, seed=0)
        assert np.isfinite(result.loss)
        fitted = built.fit(built.default(columns.shape), columns.whole(), None, columns.shape, FitContext())
        y_pred = fitted.predict(columns.X)
        assert METRICS["accuracy"].score(columns.y, y_pred, columns.w) > 1.3 / columns.shape.classes
        again = load_member(tmp_path, fitted.save(tmp_path, f"0-{task}")).predict(columns.X)
        np.testing.assert_array_equal(again, y_pred)
