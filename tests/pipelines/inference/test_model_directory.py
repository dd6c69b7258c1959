"""One way into a model directory: verified once, its parts read when they are asked for."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from pipelines.errors import DeployError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.secret_files import public_key
from pipelines.settings import Settings


@pytest.fixture
def folder(home: Settings, tiny: ModuleType) -> Path:
    """A tiny real model directory, signed by the home's key."""
    made: Path = tiny.make_model_dir(home.storage / "m", home)
    return made


def test_its_parts_are_those_that_were_signed(home: Settings, folder: Path) -> None:
    opened = ModelDirectory.open(folder, public_key(home))
    predictor = opened.predictor
    assert predictor is opened.predictor, "read once"
    assert predictor.version_digest == opened.digest
    assert (predictor.plan, predictor.schema, predictor.facts) == (opened.plan, opened.schema, opened.facts)
    assert (opened.recipe, opened.enrichment) == (opened.plan.recipe, opened.plan.enrichment)
    assert opened.identity == (("id",), None)
    assert predictor.predict_rows(opened.golden["rows"][:3]) == opened.golden["answers"][:3]


@pytest.mark.fault
def test_nothing_is_read_before_it_is_verified(home: Settings, folder: Path) -> None:
    (folder / "model.json").write_text("no JSON")
    with pytest.raises(DeployError, match="differs from its manifest"):
        ModelDirectory.open(folder, public_key(home))


@pytest.mark.fault
def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(DeployError, match="unknown format") as caught:
        _ = ModelDirectory(tmp_path, "").facts
    assert (caught.value.seen, caught.value.expected) == ("9", "1")


def test_what_an_unfinished_or_older_directory_lacks(tmp_path: Path) -> None:
    opened = ModelDirectory(tmp_path, "")
    assert opened.golden == {"rows": [], "answers": []}
    assert opened.certificate is None
