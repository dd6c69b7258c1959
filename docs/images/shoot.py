"""Take the README's two screenshots: the page of the newest night and its model card.

    make run && python docs/images/shoot.py            # of the demo model loans, into docs/images/
    python docs/images/shoot.py --home .aimass --model churn

Needs Chromium on the path.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


def main() -> int:
    """Shoot both pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=HERE.parents[1] / ".aimass")
    parser.add_argument("--model", default="loans")
    given = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    nights = given.home.absolute() / "docs" / given.model / "nights"
    if browser is None or not (nights / "latest.html").exists():
        raise SystemExit(f"needs chromium on the path, and a night of {given.model} below {given.home}: make run")
    page = nights / os.readlink(nights / "latest.html")
    card = page.with_name(f"{page.stem}.card.html")
    for source, name in ((page, "night"), (card, "model-card")):
        with tempfile.TemporaryDirectory() as profile:
            target = HERE / f"{name}.png"
            subprocess.run(
                [
                    browser,
                    *FLAGS,
                    f"--user-data-dir={profile}",
                    "--window-size=1200,1000",
                    f"--screenshot={target}",
                    source.as_uri(),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
