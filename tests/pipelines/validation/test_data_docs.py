"""Data Docs: nothing is fetched, what was found can be read without a network, the index leads to it."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest

from pipelines.storage import write_table
from pipelines.validation.validate import judge

NAMES = ("price", "tax", "paid")


class Fetched(HTMLParser):
    """Collects what a browser would fetch or run, and where links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "object"):
            self.fetched.append(f"{tag} {given}")
        if tag == "a" and not (given.get("href") or "#").startswith("#"):
            self.links.append(given["href"] or "")


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    rows = {"_key": ["a", "b"], "price": [1.0, 2.0], "tax": [0.5, 0.5], "paid": [1.5, 9.0]}
    moments = pa.array([36_000_000_000, 72_000_000_000], pa.timestamp("us"))
    write_table(pa.table({**rows, "when": moments}), folder / "cleaned")
    rules: list[dict[str, Any]] = [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "_key"}},
        {"type": "expect_multicolumn_values_to_add_up", "kwargs": {"column_list": list(NAMES), "mostly": 0.995}},
        {
            "type": "expect_column_times_of_day_to_be_between",
            "kwargs": {"column": "when", "min_value": "10:00:00", "max_value": "20:00:00"},
        },
    ]
    judge(folder / "cleaned", {"expectations": rules}, folder / "work", "demo", docs=True)
    return folder / "work" / "docs"


def test_nothing_is_fetched_and_every_link_leads_to_a_page(docs: Path) -> None:
    pages = list(docs.rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        seen = Fetched()
        seen.feed(text)
        assert seen.fetched == []
        assert "default-src 'none'" in text
        for link in seen.links:
            assert not re.match(r"(\w+:)?//", link), link
            assert (page.parent / unquote(link.split("#")[0])).is_file(), link
    assert sum(path.stat().st_size for path in docs.rglob("*") if path.is_file()) < 300_000


def test_what_was_found_can_be_read(docs: Path) -> None:
    (page,) = (docs / "validations").rglob("*.html")
    text = " ".join(
        unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page.read_text(), flags=re.S))).split()
    )
    assert "times of day must lie from 10:00:00 to 20:00:00 ." in text.replace("00.", "00 .")
    assert "paid must be the sum of price, tax, at least 99.5 % of the time." in text.replace(" ,", ",")
    assert "**" not in text
    assert page.read_text().count("fa-times text-danger") == 2  # the rule, and the whole
    assert page.read_text().count("fa-check-circle text-success") == 2
