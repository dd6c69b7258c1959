from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pipelines import code_digest


def test_families_named_by_text_are_part_of_what_the_search_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`registry.py` imports them by their address: an edit of one must not re-use an old search."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "stage.py").write_text('FAMILIES = {"forest": "pipelines.forest:Forest"}\n')
    (folder / "forest.py").write_text("DEPTH = 3\n")
    monkeypatch.setattr(code_digest, "ROOT", folder)
    code_digest._source.cache_clear()
    before = code_digest.code_digest("pipelines.stage")
    (folder / "forest.py").write_text("DEPTH = 4\n")
    assert code_digest.code_digest("pipelines.stage") != before
    code_digest._source.cache_clear()


def named_in_the_tree(text: str) -> set[str]:
    """What Python itself sees imported."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == "pipelines"}


def test_no_import_of_this_project_is_missed() -> None:
    sources = sorted(code_digest.ROOT.rglob("*.py"))
    assert len(sources) > 100
    for path in sources:
        text = path.read_text()
        assert named_in_the_tree(text) <= code_digest._imports(text), path


@pytest.mark.parametrize(
    "text",
    [
        "from pipelines import (  # why (not)\n    storage,  # a comment )\n    errors as e,\n)\n",
        "def f():\n    from pipelines import storage, errors\n",
        "import pipelines.storage\nimport pipelines.errors as e\n",
    ],
)
def test_ways_of_writing_an_import(text: str) -> None:
    assert {"pipelines.storage", "pipelines.errors"} <= code_digest._imports(text)
