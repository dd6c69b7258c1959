"""What a search that was killed has left, and the same search undisturbed."""

from __future__ import annotations

import json
from pathlib import Path

import learning
import pytest
from learning import make_columns
from searching import Counting, run_here

from pipelines.settings import Settings
from pipelines.storage import read_table
from pipelines.tuning import stage as tuning
from pipelines.tuning.search_journal import FILE
from pipelines.tuning.spec import TuneSpec


def kept(home: Path) -> int:
    """How many trials the journal of the search in a home holds."""
    return sum(path.read_bytes().count(b"\n") - 1 for path in home.rglob(FILE) if path.stat().st_size)


def found(out: Path) -> tuple[object, list[tuple[object, ...]]]:
    names = ("number", "family", "params", "score", "state")
    trials = [tuple(row[name] for name in names) for row in read_table(out / "trials").to_pylist()]
    return json.loads((out / "search.json").read_text())["best"], trials


def calm(home: Settings, out: Path, trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same search in this process, undisturbed."""
    columns = make_columns(rows=400, folds=3)
    out.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "load_columns", lambda folder, model: columns)
        patch.setattr(tuning, "family", lambda name: Counting(f"{out}-log", pause=0.0))
        patch.setattr("pipelines.tuning.search.search", run_here)
        spec = TuneSpec(trials=trials, pruning="none", families=("linear",))
        features = learning.artifact("features", out)
        tuning.run(spec, night=learning.make_night(), settings=home, out=out, features=features)
