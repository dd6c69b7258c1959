"""Take the guide's two screenshots of the page for people: one row, and a file.

    make run && python docs/images/shoot_page.py            # of the demo model loans, into docs/images/
    python docs/images/shoot_page.py --model churn --csv data/new.csv

Needs Chromium on the path and the platform running.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "helpers"))
NAME = "screenshots"


def main() -> int:
    """Shoot both views with a token that is revoked afterwards."""
    from browser import find_browser

    from pipelines.ledger import Ledger
    from pipelines.settings import load

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="loans")
    parser.add_argument("--csv", type=Path, help="rows to predict; by default the newest file of the demo feed")
    parser.add_argument("--into", type=Path, default=HERE)
    given = parser.parse_args()
    settings = load()
    feed = sorted((settings.feed / given.model).glob("*.csv"))
    rows = given.csv or (feed[-1] if feed else None)
    if find_browser() is None or rows is None:
        raise SystemExit("needs chromium on the path, and rows to predict: make run, or --csv FILE")
    ledger = Ledger.open(settings)
    token = ledger.issue_token(NAME, [f"{scope}:{given.model}" for scope in ("predict", "explain")], 0.1)
    try:
        shoot(settings.gateway_url, token, rows.absolute(), given.into)
    finally:
        ledger.revoke_token(NAME)
    return 0


def shoot(url: str, token: str, rows: Path, into: Path) -> None:
    """Write ``page-row.png`` and ``page-file.png``."""
    from browser import browsing

    with tempfile.TemporaryDirectory() as downloads, browsing(Path(downloads)) as tab:
        tab.open(url, 1280, 900)
        tab.type("#token", token)
        tab.press("Enter", 13, "\r")
        tab.until("!document.querySelector('#panels').hidden")
        number = "#" + tab.run("document.querySelector('#fields input[inputmode=decimal]').id")
        tab.type(number, "much")
        tab.click("#explain")
        tab.until("document.querySelector('#explanation table')")
        tab.run("document.activeElement.blur(); scrollTo(0, 0)")
        targets = [tab.shoot(into / "page-row.png", whole=False)]
        tab.click("#tab-file")
        tab.upload("#file", rows)
        tab.until("!document.querySelector('#start').disabled")
        tab.click("#start")
        tab.until("document.querySelector('.plots svg[width]')")
        tab.resize(1280, 780)
        tab.run("document.activeElement.blur(); document.querySelector('.choices').scrollIntoView(); scrollBy(0, -14)")
        targets.append(tab.shoot(into / "page-file.png", whole=False))
    for target in targets:
        print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
