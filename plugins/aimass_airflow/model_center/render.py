"""The templates and what they write numbers, moments and files with."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.backup.listing import span
from pipelines.catalog.markdown import to_html
from pipelines.gateway.page import FOLDER as PREDICTIONS

STATIC = Path(__file__).with_name("static")
SHARED = {path.name: path for path in sorted(PREDICTIONS.glob("*.js"))}
"""Scripts of the gateway's page that the center runs, too."""


class Pages:
    """Jinja templates, always with escaping."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("aimass_airflow.model_center", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(at=at, day=day, g=g, n=n, ago=ago, signed=signed, js=to_json, mb=mb, pct=pct)
        self._environment.filters["md"] = md
        files = [path for path in sorted(STATIC.rglob("*")) if path.is_file()]
        stamps = [path.read_bytes() for path in (*files, *SHARED.values())]
        self._environment.globals["stamp"] = hashlib.sha256(b"".join(stamps)).hexdigest()[:12]

    def render(self, template: str, **facts: Any) -> str:
        """Return a page or a part of one."""
        return self._environment.get_template(template).render(**facts)


def at(moment: datetime | None) -> str:
    """Write a moment to the minute."""
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def day(moment: datetime | None) -> str:
    """Write a day."""
    return "–" if moment is None else f"{moment:%Y-%m-%d}"


def ago(moment: datetime | None) -> str:
    """Write how long ago a moment was."""
    return "–" if moment is None else span(datetime.now(UTC) - moment)


def g(value: float | None) -> str:
    """Write a number with four digits, a large one to the unit."""
    return "–" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def signed(value: float | None) -> str:
    """Write a number with its sign."""
    return "–" if value is None else f"{value:+.4g}"


def n(value: float | None) -> str:
    """Write a count."""
    return "–" if value is None else f"{value:,.0f}"


def pct(value: float | None) -> str:
    """Write a share."""
    return "–" if value is None else f"{value:.1%}"


def mb(value: float | None) -> str:
    """Write bytes."""
    if value is None:
        return "–"
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"


def md(text: str) -> Markup:
    """Write Markdown of people as HTML, in which nothing of theirs is markup."""
    return Markup(to_html(text))  # noqa: S704 - that is what the renderer is for


def to_json(value: Any) -> str:
    """Write what a script reads from an attribute; the template escapes it."""
    return json.dumps(value, ensure_ascii=False, default=str)
