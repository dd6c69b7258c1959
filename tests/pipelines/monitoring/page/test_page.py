from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
from monitored import Monitored

from pipelines.cli.show import operation_of
from pipelines.html_pages import operation_page
from pipelines.monitoring.page.charts import BARS, Line, TimeLine, bars
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import monitor
from pipelines.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)
NAME = "odd <b>name</b>"


def rows(seed: int, count: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({"score": random.normal(size=count), NAME: random.choice(list("abc"), size=count)})


def test_the_page_tells_what_shifted_over_time_then_and_now_and_what_to_do(
    home: Settings, make_night: Callable[..., Any]
) -> None:
    model = Monitored(home, make_night, rows(0, 3_000))
    assert operation_page(home.docs, "demo") is None
    assert operation_of(home, "demo") == "-"
    for hours in (4, 3, 2):
        asked = rows(hours, 800)
        if hours < 4:
            asked[NAME] = "new"
        ids = model.ask(asked, NOW - timedelta(hours=hours))
        model.label(ids, asked, NOW - timedelta(hours=hours) + timedelta(minutes=1))
        monitor(home, NOW - timedelta(hours=hours) + timedelta(minutes=2), MonitorSpec(max_age_days=60), lambda _: "")
    path = operation_page(home.docs, "demo")
    assert path is not None
    assert operation_of(home, "demo") == str(path)
    page = path.read_text()
    assert "<b>name</b>" not in page
    assert page.count("<svg") == 4
    assert "Ask the callers what changed" in page
    assert re.search(r"odd &lt;b&gt;name&lt;/b&gt; <small>PSI", page)
    assert "0.0% → 100.0%" in page
    assert "other categories" in page
    assert "realised score" in page
    parser = HTMLParser()
    parser.feed(page)
    assert not re.search(r"(src|href)=\"(?!\.\./)", page), "nothing is loaded from elsewhere"
    assert "nan" not in page.split("<main>")[1].lower().replace("resonance", "")


def test_a_home_without_traffic_has_a_page_too(home: Settings, make_night: Callable[..., Any]) -> None:
    Monitored(home, make_night, rows(0, 300))
    monitor(home, NOW, MonitorSpec(max_age_days=60), lambda _: "")
    path = operation_page(home.docs, "demo")
    assert path is not None
    assert "insufficient data" in path.read_text()


def test_lines_fit_their_box_and_one_point_lies_in_its_middle() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    line = Line("auc", [(start + timedelta(days=day), 0.7 + day / 100, 0.01) for day in range(5)])
    chart = TimeLine("Performance", "auc", [line, Line("none", [])], limit=0.9)
    (drawn,) = chart.drawn()
    assert all(0 <= x <= 520 and 0 <= y <= 130 for x, y in drawn["dots"])
    assert drawn["band"].endswith("Z")
    assert chart.limit_at is not None
    assert 0 <= chart.limit_at <= 130
    single = TimeLine("One", "", [Line("one", [(start, 3.0, None)])])
    assert single.drawn()[0]["dots"][0][0] == 260
    assert TimeLine("None", "", [Line("none", [])]).empty


def test_of_many_categories_the_smallest_share_a_bar() -> None:
    many = {"bins": [f"c{n}" for n in range(40)], "shares": [0.025] * 40, "counts": [10 - n % 3 for n in range(40)]}
    drawn = bars(many)
    assert len(drawn) == BARS
    assert sum(then for _, then, _ in drawn) == 1.0 or abs(sum(then for _, then, _ in drawn) - 1) < 1e-9
    assert drawn[-1][0] == f"{40 - BARS + 1} more"
