"""What people do around a model in the Model Center in the real Airflow UI, for a test that has a platform.

They describe and rate it, ask for access and use the token, judge a version on a table, export it, download a published
table, and bring in a model made elsewhere.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import foreign
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from center_steps import Center, entered

from pipelines.ledger import Ledger
from pipelines.mart.origin import Origin
from pipelines.mart.publish import Wish, publish
from pipelines.settings import Settings
from pipelines.waiting import wait_until

DESCRIPTION = "# Loans\n\nTells **who** pays back. <script>document.title = 'run'</script>"
PURPOSE = "scores in the branch office"
ELSEWHERE = "churn_elsewhere"


def run_errands(settings: Settings, folder: Path, model: str) -> None:
    """Log in as the administrator and do all of it.

    Parameters
    ----------
    settings
        Of a running platform, one version of whose model is live.
    folder
        For what the browser downloads.
    """
    files = foreign.sklearn_files(folder / "elsewhere")
    with Ledger.open(settings) as ledger, entered(settings, folder) as center:
        table = pa.table({"id": [1, 2], "town": ["Riga", None]})
        publish(
            settings, ledger, "towns", Origin(table.schema, table.to_batches(), {"path": "towns.csv"}), Wish(), "ada"
        )
        center.login("admin")
        center.enter()
        _import(center, ledger, files)
        center.click(f"table.models a[href$='/models/{model}']")
        center.until("document.querySelector('#sentence')")
        _describe(center, ledger, model)
        _ask_for_access(center, model)
        _judge(center, ledger, model, folder)
        _export(center, ledger, model, folder)
        _download(center, folder)
        expected = "can escape its sandboxing"  # Airflow's own frame
        assert [line for line in center.tab.logged if expected not in line] == []


def _finish(center: Center, form: str) -> None:
    """Send a dialog's form, see that it is done, and close it; the page comes again."""
    center.click(f"#{form} button[type=submit]")
    center.until(f"document.querySelector('#{form}-result .note')?.innerText.startsWith('Done')", 60)
    center.run("document.body.dataset.before = 'yes'")
    center.click(f"#{form} [data-close]")
    center.until("!document.body.dataset.before")


def _import(center: Center, ledger: Ledger, files: dict[str, Path]) -> None:
    center.click("[data-dialog=import]")
    center.type("#import-model", ELSEWHERE)
    for part, path in files.items():
        center.upload(f"#import-{part}", path)
    center.click("#import button[type=submit]")
    center.until("document.querySelector('#import-result .note')", 120)
    assert f"Version 1 of {ELSEWHERE} is imported" in center.text("#import-result")
    (row,) = ledger.versions(ELSEWHERE)
    assert row.state == "registered"
    center.run("document.body.dataset.before = 'yes'")
    center.click("#import [data-close]")
    center.until(f"!document.body.dataset.before && document.querySelector('a[href$=\"/models/{ELSEWHERE}\"]')")


def _describe(center: Center, ledger: Ledger, model: str) -> None:
    center.goto("About")
    center.click("[data-dialog=describe]")
    center.type("#d-description", DESCRIPTION)
    center.type("#d-tags", "credit nightly")
    _finish(center, "describe")
    assert "Tells who pays back." in center.text(".prose")
    assert center.run("document.querySelectorAll('.prose script').length + (document.title === 'run')") == 0
    center.click("[data-dialog=rate]")
    center.type("#r-text", "quick")
    _finish(center, "rate")
    assert ledger.catalog_row(model).tags == ["credit", "nightly"]
    assert [(row.actor, row.stars, row.text) for row in ledger.ratings(model)] == [("admin", 5, "quick")]


def _ask_for_access(center: Center, model: str) -> None:
    center.goto("Call")
    center.type("#request-purpose", PURPOSE)
    center.click("#request-result + .buttons button")
    center.until("document.querySelector('#access .note')?.innerText.startsWith('Asked')")
    assert PURPOSE in center.text("#access")
    center.type("#access textarea[name=why]", "the branch is ours")
    center.click("#access button[value=approve]")
    center.until("document.querySelector('#access .note')?.innerText.endsWith('is approved.')")
    center.click("#access form[hx-post$='/token'] button")
    center.until("document.querySelector('[aria-label=Token]')")
    token = center.text("[aria-label=Token]").strip()
    with httpx.Client(base_url=center.settings.gateway_url, trust_env=False, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        example = client.get(f"/v1/models/{model}/metadata").raise_for_status().json()["example"]
        asked: dict[str, Any] = {"json": {"instances": [example]}}
        assert client.post(f"/v1/models/{model}:predict", **asked).status_code == 200
        assert client.post(f"/v1/models/{ELSEWHERE}:predict", **asked).status_code in (401, 403)


def _judge(center: Center, ledger: Ledger, model: str, folder: Path) -> None:
    newest = max((center.settings.feed / model).glob("*.csv"))
    with newest.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["defaulted"]]
    with (folder / "judged.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    live = ledger.route(model)
    center.goto("Versions")
    center.click(f"[aria-label='Evaluate version {live}']")
    center.until("document.querySelector('#evaluate-table')")
    center.upload("#evaluate-table", folder / "judged.csv")
    center.click("#evaluate button[type=submit]")
    center.until("document.querySelector('#evaluate-result .note')", 120)
    assert f"Version {live} on " in center.text("#evaluate-result")
    assert "roc_auc" in center.text("#evaluate-result")


def _export(center: Center, ledger: Ledger, model: str, folder: Path) -> None:
    live = ledger.route(model)
    center.click(f"[aria-label='Export version {live}']")
    archive = folder / f"{model}-v{live}.aimass.zip"
    assert wait_until(lambda: archive.exists() or None, seconds=60, every=0.1), [path.name for path in folder.iterdir()]
    assert "archive.json" in zipfile.ZipFile(archive).namelist()
    assert ledger.actions(model)[0].kind == "export"


def _download(center: Center, folder: Path) -> None:
    center.click("header nav a[href$='/data']")
    center.until("document.querySelector('h1')?.innerText === 'Data'")
    center.click("a[href$='/data/towns']")
    center.until("document.querySelector('#download')")
    assert "Riga" in center.text()
    center.click("#download")
    file = folder / "towns-v1.parquet"
    assert wait_until(lambda: file.exists() or None, seconds=30, every=0.1), [path.name for path in folder.iterdir()]
    assert pq.read_table(file)["town"].to_pylist() == ["Riga", None]
