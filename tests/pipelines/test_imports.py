from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import imports


def test_families_named_by_text_are_part_of_what_the_search_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`catalogue.py` imports them by their address: an edit of one must not re-use an old search."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "stage.py").write_text('FAMILIES = {"forest": "pipelines.forest:Forest"}\n')
    (folder / "forest.py").write_text("DEPTH = 3\n")
    monkeypatch.setattr(imports, "ROOT", folder)
    imports._source.cache_clear()
    before = imports.code_digest("pipelines.stage")
    (folder / "forest.py").write_text("DEPTH = 4\n")
    assert imports.code_digest("pipelines.stage") != before
    imports._source.cache_clear()
