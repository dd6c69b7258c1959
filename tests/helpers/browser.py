"""Chromium without a screen, driven over the DevTools protocol: what a person sees, types and clicks."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--remote-debugging-port=0",
)
START_SECONDS = 60.0
WAIT_SECONDS = 30.0


def find_browser() -> str | None:
    """Return the path of Chromium or Chrome, or None."""
    return shutil.which("chromium") or shutil.which("google-chrome")


class Tab:
    """One page; what it logs is kept in ``logged``."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self.session: str | None = None
        self.logged: list[str] = []
        self.requested: list[str] = []

    def ask(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        self._socket.send(json.dumps(message))
        while True:
            found = json.loads(self._socket.recv(timeout=WAIT_SECONDS))
            if found.get("id") == self._last:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']['message']}")
                return found["result"]
            self._note(found)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.logged.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.logged.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.logged.append(str(params["args"]))
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", script))
        return found["result"].get("value")

    def until(self, script: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not true within {seconds:.0f} s: {script}; logged: {self.logged}")
            time.sleep(0.03)

    def open(self, url: str, width: int, height: int) -> None:
        """Show a page in a window of this size, and wait until it is loaded."""
        self.resize(width, height)
        self.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def resize(self, width: int, height: int) -> None:
        """Resize the window."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def click(self, selector: str) -> None:
        """Click on an element with the mouse, in its middle."""
        x, y = self.run(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: "center"}}); const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replace the text of a field by keyboard input."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        if text:
            self.ask("Input.insertText", text=text)
        else:
            self.press("Delete", 46)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key where the focus is."""
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **pressed)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option."""
        self.run(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = {json.dumps(value)};
            e.dispatchEvent(new Event("input", {{bubbles: true}}));
            e.dispatchEvent(new Event("change", {{bubbles: true}})); }})()"""
        )

    def upload(self, selector: str, path: Path) -> None:
        """Choose a file."""
        document = self.ask("DOM.getDocument")
        node = self.ask("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        self.ask("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(path)])

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def shoot(self, path: Path, whole: bool = True) -> Path:
        """Write a picture of the page, or of what the window shows of it."""
        time.sleep(0.2)  # charts are drawn once their width is known
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))
        return path


@contextmanager
def browsing(downloads: Path) -> Iterator[Tab]:
    """Start Chromium with an empty profile; files that a page hands out are written to ``downloads``."""
    browser = find_browser()
    assert browser is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port, path = _address(Path(profile) / "DevToolsActivePort", process)
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as socket:
                tab = Tab(socket)
                target = tab.ask("Target.createTarget", url="about:blank")["targetId"]
                tab.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
                tab.session = tab.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
                for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
                    tab.ask(f"{domain}.enable")
                yield tab
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(file: Path, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    deadline = time.monotonic() + START_SECONDS
    while True:
        lines = file.read_text().split("\n") if file.exists() else []
        if len(lines) >= 2 and lines[1]:
            return lines[0], lines[1]
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Chromium did not start: exit code {process.returncode}")
        time.sleep(0.05)
