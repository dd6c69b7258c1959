"""What a person does in the Model Center in the real Airflow UI: for a test that has a platform with two versions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from browser import Tab, browsing

from pipelines.ledger import Ledger
from pipelines.local.airflow_config import password_file
from pipelines.settings import Settings
from pipelines.waiting import wait_until

FRAME = "window.document.querySelector('iframe')"
WHY = "the scores look odd since noon"


class Center:
    """The Model Center in the frame of Airflow's page."""

    def __init__(self, tab: Tab, settings: Settings) -> None:
        self.tab, self.settings = tab, settings

    def login(self, user: str) -> None:
        """Log in as a person does, after whoever was there is forgotten."""
        self.tab.ask("Network.clearBrowserCookies")
        self.tab.open(f"{self.settings.airflow_url}/auth/login", 1400, 900)
        self.tab.until("document.querySelector('input[name=password]')")
        password = json.loads(password_file(self.settings).read_text())[user]
        self.tab.type("input[name=username]", user)
        self.tab.type("input[name=password]", password)
        self.tab.press("Enter", 13, "\r")
        self.tab.until("!location.pathname.startsWith('/auth/login')")

    def enter(self) -> None:
        """Go from Airflow's start page to the Model Center by the navigation."""
        self.tab.until("document.querySelector('a[href$=\"/plugin/model-center\"]')", 60)
        self.tab.click('a[href$="/plugin/model-center"]')
        self.until("document.querySelector('h1')?.innerText === 'Models'")

    def run(self, script: str) -> Any:
        """Return the value of an expression inside the frame."""
        return self.tab.run(
            f"(() => {{ const frame = {FRAME}; const document = frame?.contentDocument;"
            f" if (!document) return null; return ({script}); }})()"
        )

    def until(self, script: str, seconds: float = 30.0) -> None:
        """Wait until the frame is loaded and an expression inside it is true."""
        true = f"document.readyState === 'complete' && Boolean({script})"
        seen = wait_until(lambda: self.run(true) or None, seconds=seconds, every=0.05)
        assert seen, (script, self.run("document.body?.innerText.slice(0, 3000)"), self.tab.logged)

    def click(self, selector: str) -> None:
        """Click on an element of the frame with the mouse."""
        x, y = self.run(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: "center"}}); const r = e.getBoundingClientRect();
            const f = frame.getBoundingClientRect();
            return [f.x + r.x + r.width / 2, f.y + r.y + r.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.tab.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Type into a field of the frame."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.tab.ask("Input.insertText", text=text)

    def upload(self, selector: str, path: Path) -> None:
        """Choose a file in a form of the frame."""
        field = f"{FRAME}.contentDocument.querySelector({json.dumps(selector)})"
        found = self.tab.ask("Runtime.evaluate", expression=field)["result"]["objectId"]
        self.tab.ask("DOM.setFileInputFiles", objectId=found, files=[str(path)])

    def goto(self, title: str) -> None:
        """Open a tab of a model's page."""
        place = self.run(f"[...document.querySelectorAll('.tabs a')].findIndex((a) => a.innerText === {title!r}) + 1")
        self.click(f".tabs a:nth-child({place})")
        self.until(f"document.querySelector('.tabs a[aria-current]')?.innerText === {title!r}")

    def text(self, selector: str = "body") -> str:
        """Return the visible text of an element of the frame."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText"))


@contextmanager
def entered(settings: Settings, folder: Path) -> Iterator[Center]:
    """Start a browser."""
    with browsing(folder) as tab:
        yield Center(tab, settings)


def answered_by(settings: Settings, token: str, model: str) -> int:
    """Return the version that answers a caller."""
    with httpx.Client(base_url=settings.gateway_url, trust_env=False, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        example = client.get(f"/v1/models/{model}/metadata").json()["example"]
        found = client.post(f"/v1/models/{model}:predict", json={"instances": [example]})
        return int(found.raise_for_status().json()["model_version"])


def walk(settings: Settings, folder: Path, model: str, viewer: str) -> None:
    """Log in, look at a model, compare its versions, ask it, roll it back with a reason; then look as a viewer.

    Parameters
    ----------
    settings
        Of a running platform, whose folder of DAG files has `rollback.py`.
    viewer
        A user of the role viewer.
    """
    with Ledger.open(settings) as ledger, entered(settings, folder) as center:
        token = ledger.issue_token("walker", [f"predict:{model}"])
        live = ledger.route(model)
        (other,) = [row.version for row in ledger.score_line(model) if row.live_at and row.version != live][:1]
        _as_admin(center, model)
        _rolled_back(center, ledger, token, model, other)
        _as_viewer(center, ledger, model, viewer)
        expected = ("401", "403", "can escape its sandboxing")  # what was provoked, and Airflow's own frame
        assert [line for line in center.tab.logged if not any(each in line for each in expected)] == []


def _as_admin(center: Center, model: str) -> None:
    center.login("admin")
    center.enter()
    assert model in center.text("table.models")
    center.click(f"table.models a[href$='/models/{model}']")
    center.until("document.querySelector('#sentence')")
    assert "is live since" in center.text("#sentence")
    center.until("document.querySelector('.chart canvas')")
    center.until("document.querySelector('#live dl')")
    center.goto("Versions")
    center.click("#compare")
    center.until("document.querySelector('#why .note')", 120)
    assert "same sealed rows" in center.text("#why")
    assert "rows trained" in center.text("#compared")
    center.goto("Ask")
    center.until("document.querySelector('#ask button[type=submit]')")
    center.click("#ask button[type=submit]")
    center.until("document.querySelector('#prediction')")
    said = center.text("#prediction")
    assert "Probabilities" in said
    assert "What each cell adds" in said


def _rolled_back(center: Center, ledger: Ledger, token: str, model: str, other: int) -> None:
    before = answered_by(center.settings, token, model)
    assert before != other
    center.goto("Overview")
    center.click("[data-dialog=rollback]")
    center.run(f"document.querySelector('#rollback-version').value = '{other}'")
    center.click("#rollback button[type=submit]")
    assert center.run("document.querySelector('#rollback-why').validity.valueMissing"), "a reason is asked for"
    center.type("#rollback-why", WHY)
    center.click("#rollback button[type=submit]")
    center.until("document.querySelector('#rollback-result .note')?.innerText.startsWith('Done')", 180)
    assert wait_until(lambda: answered_by(center.settings, token, model) == other or None, seconds=15, every=0.2)
    last = ledger.history(model)[-1]
    assert (last.to_version, last.actor, last.why) == (other, "rollback:admin", WHY)
    act = ledger.actions(model)[0]
    assert (act.kind, act.actor, act.why, act.outcome) == ("rollback", "admin", WHY, "done")
    center.click("#rollback [data-close]")
    center.until(f"document.querySelector('#sentence')?.innerText.startsWith('Version {other} is live')")
    assert WHY in center.text("#sentence")


def _as_viewer(center: Center, ledger: Ledger, model: str, viewer: str) -> None:
    center.login(viewer)
    center.enter()
    center.click(f"table.models a[href$='/models/{model}']")
    center.until("document.querySelector('#sentence')")
    assert center.run("document.querySelectorAll('[data-dialog], [hx-post]').length") == 0
    mark = ledger.mark(model)
    body = json.dumps({"mark": str(mark), "why": "I may not", "version": 1})
    for credentials, status in (("same-origin", 403), ("omit", 401)):
        seen = center.tab.run(
            f"fetch('/model-center/models/{model}/actions/rollback', {{method: 'POST', credentials: '{credentials}',"
            f" headers: {{'Content-Type': 'application/json'}}, body: {json.dumps(body)}}}).then((r) => r.status)"
        )
        assert seen == status
    assert ledger.mark(model) == mark
    time.sleep(0.1)  # what the browser still logs
