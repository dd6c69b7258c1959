"""A version is judged on a table that somebody hands over; the page stands beside those of other versions."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from here import aimass

from pipelines.metrics import METRICS
from pipelines.storage import file_sha256

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labelled(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = tiny.rows(300, 5)
    amount = np.array([float(text) if text[:1].isdigit() else 100.0 for text in table["amount"]])
    table["label"] = np.where(amount > 95, " yes ", "no")
    table.loc[:4, "label"] = ["", "maybe", "?", "yes", "no"]
    path = tmp_path_factory.mktemp("tables") / "labelled.csv"
    table.to_csv(path, index=False)
    return path


def test_metrics_curves_and_slices_on_a_page_beside_other_versions(packaged: SimpleNamespace, labelled: Path) -> None:
    folder = packaged.settings.docs / "_evaluation" / "demo"
    folder.mkdir(parents=True)
    digest, theirs = file_sha256(labelled), {"roc_auc": 0.123456}
    (folder / f"v7-{digest[:12]}.json").write_text(json.dumps({"version": 7, "sha256": digest, "scores": theirs}))
    words = ["evaluate", "demo", "--version", "1", "--table", str(labelled), "--slices", "town"]
    done = aimass(*words, AIMASS_HOME=str(packaged.settings.home))
    assert done.returncode == 0, done.stderr
    assert "3 rows left out" in done.stderr
    (page,) = folder.glob("v1-*.html")
    assert str(page) in done.stdout
    assert "0.123456" in done.stdout
    stored = json.loads(page.with_suffix(".json").read_text())
    assert stored["rows"] == 297
    assert set(METRICS) & set(stored["scores"]) >= {"roc_auc", "log_loss", "accuracy"}
    assert 0.5 < stored["scores"]["roc_auc"] <= 1.0
    assert {each["value"] for each in stored["slices"]} == {"Bern", "Genève", "Łódź"}
    html = page.read_text()
    assert "Łódź" in html
    assert "version 7" in html
    assert "0.123456" in html
    assert html.count("data:image/png;base64,") >= 5
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_published_table_is_judged_unless_it_hashes_what_the_version_reads(
    packaged: SimpleNamespace, labelled: Path
) -> None:
    home = {"AIMASS_HOME": str(packaged.settings.home)}
    for name, more in (("labels", ()), ("private", ("--hash", "town"))):
        done = aimass("data", "publish", name, "--from", str(labelled), *more, **home)
        assert done.returncode == 0, done.stderr
    words = ["evaluate", "demo", "--version", "1", "--json", "--table"]
    done = aimass(*words, "mart:labels", **home)
    assert done.returncode == 0, done.stderr
    found, of_file = json.loads(done.stdout), json.loads(aimass(*words, str(labelled), **home).stdout)
    assert (found["rows"], found["scores"]) == (297, of_file["scores"])
    assert json.loads(Path(found["page"]).with_suffix(".json").read_text())["table"] == "mart:labels@1"
    for table, said in (("mart:private@1", "town"), ("mart:labels@7", "no such version"), ("mart:X", "no published")):
        done = aimass(*words, table, **home)
        assert done.returncode == 2, (table, done.stderr)
        assert said in done.stderr


def test_what_cannot_be_judged_is_said(packaged: SimpleNamespace, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("id,amount,town,age\n1,2,Bern,3\n")
    (tmp_path / "other.csv").write_text("id,amount,town,age,label\n1,2,Bern,3,perhaps\n")
    (tmp_path / "few.csv").write_text("id,amount,label\n1,2,yes\n")
    (tmp_path / "a.txt").write_text("x")
    home = {"AIMASS_HOME": str(packaged.settings.home)}
    for words, said in (
        ((str(tmp_path / "none.csv"),), "no labels"),
        ((str(tmp_path / "other.csv"),), "no row with a label"),
        ((str(tmp_path / "few.csv"),), "'town'"),
        ((str(tmp_path / "a.txt"),), "no table"),
        ((str(tmp_path / "gone.csv"),), "cannot be read"),
        ((str(labelled), "--slices", "colour"), "colour"),
    ):
        done = aimass("evaluate", "demo", "--version", "1", "--table", *words, **home)
        assert done.returncode == 2, (words, done.stderr)
        assert said in done.stderr, done.stderr
