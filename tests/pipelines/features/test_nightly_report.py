"""The page of a night: what was held back and why stands first, nothing comes from elsewhere, no input breaks it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.artifacts import Night, Ref, night_slug
from pipelines.features.distributions import compare
from pipelines.features.nightly_report import ComparedTables, choose_sides, publish_report
from pipelines.features.page import gather, labels, render, schema, steps
from pipelines.ledger import Ledger
from pipelines.population_stability import stability_of_counts
from pipelines.settings import Settings
from pipelines.storage import write_table

EVIL = "<script>alert('x')</script>"
TOLD: dict[str, dict[str, Any]] = {
    "ingest": {
        "rows": 1000,
        "not_yet_known": 20,
        "files": 2,
        "notices": ["one notice"],
        "rejected": 3,
        "sources": [{"table": "main", "name": "a.csv", "bytes": 10}],
        "increments": {"read": 1, "known": 2},
        "joins": [{"name": "weather", "rows": 50, "matched": 800, "unmatched": 200, "how": "as-of", "serve": "embed"}],
        "derived": {"late": "arr_delay >= 15"},
    },
    "sample": {"in": 1000, "sealed": 100, "unsealed": 900, "kept": 700, "strata": [{"stratum": EVIL, "rows": 9}, {}]},
    "clean": {
        "in": 800,
        "clean": 740,
        "quarantined": 42,
        "duplicates": 10,
        "filtered": 5,
        "unlabelled": 3,
        "by_reason": {"column 'age' cannot be read as a number": 40, f"column '{EVIL}' is bad": 2},
        "filtered_by": {"age < 17": 5},
        "kinds": {"age": "number", "id": "dropped"},
        "notes": ["a note"],
    },
    "validate": {"hard_failed": [], "soft_failed": [f"column 'age': {EVIL}"], "rules": 12, "partitions": 1},
    "split": {
        "train": 640,
        "sealed": 100,
        "how": "stratified",
        "folds": {"0": 320, "1": 320},
        "leaks": [{"column": "outcome", "evidence": "tells 99.9 % of the labels alone", "action": "refused"}],
    },
    "features": {
        "rows": 640,
        "left_out": {"same": "constant"},
        "features": [{"name": "age", "kind": "number", "cardinality": None, "from": ["age"], "how": "as it is"}],
    },
}


class Tags(HTMLParser):
    """Collects tags, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href") and not (value or "").startswith("#")
        ]


def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def split_folder(folder: Path, columns: int = 2, rows: int = 2000) -> Path:
    draw = np.random.default_rng(0)
    for side, shift in (("train", 0.0), ("sealed", 2.0)):
        moments = np.datetime64("2026-01-01", "us") + draw.integers(0, 10**12, rows) * np.timedelta64(1, "us")
        numbers = {f"n{index}": draw.normal(size=rows) + (shift if index == 1 else 0) for index in range(columns)}
        write_table(
            pa.table(
                {
                    "_key": [f"k{row}" for row in range(rows)],
                    "_y": ["yes"] * rows,
                    **numbers,
                    "when": moments,
                    "text": draw.choice([EVIL, "b", "c"] if not shift else ["b", "c", "new"], rows),
                    "gaps": pa.array(draw.normal(size=rows), mask=draw.random(rows) < (0.5 if shift else 0.0)),
                    "nothing": pa.nulls(rows, pa.float64()),
                    "same": np.ones(rows),
                }
            ),
            folder / side,
        )
    return folder


def quarantine(folder: Path) -> Path:
    reasons = ["column 'age' cannot be read as a number: 'thirty'"] * 40 + [f"column '{EVIL}' is bad: {EVIL}"] * 2
    write_table(pa.table({"_key": [f"k{n}" for n in range(42)], "_reason": reasons}), folder / "quarantine")
    return folder


def shown(night: Night, told: dict[str, dict[str, Any]], split: Path, clean: Path) -> str:
    sides = ComparedTables(split / "train", split / "sealed", "the rows trained on", "tonight's rows")
    return render(gather(night, told, {"split": split, "clean": clean}, sides))


def test_the_page_says_first_what_was_held_back_and_why(tmp_path: Path, make_night: Callable[..., Night]) -> None:
    page = shown(make_night(), TOLD, split_folder(tmp_path / "split"), quarantine(tmp_path / "clean"))
    assert "<script" not in page.lower()
    assert tags(page).fetched == []
    assert {"main", "h1", "table", "th", "svg"} <= set(tags(page).tags)
    text = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))
    positions = [
        text.index(part)
        for part in (
            "45 rows held back",
            "Held back tonight, and why",
            "42 of 800 rows",
            "cannot be read as a number",
            "'thirty'",
            "age < 17",
            "Rows through each step",
            "not yet known",
            "lines that do not fit",
            "not drawn",
            "weather",
            "80.0 %",
            "1 of 12 rules are broken",
            "of the labels alone",
            "type in the source",
            "not shown to the learner",
            "Distributions: train",
            "PSI",
            "as it is",
            "Left out",
        )
    ]
    assert positions == sorted(positions)
    assert {"main", "figure", "dl"} - set(tags(page).tags) == {"dl"}


def test_rows_through_the_steps_add_up() -> None:
    for step in steps(TOLD):
        assert step["in"] == step["out"] + sum(count for _, count, _ in step["away"]), step
    assert [step["name"] for step in steps(TOLD)] == ["ingest", "sample", "clean", "split"]
    assert steps({stage: {} for stage in TOLD}) == []


@pytest.mark.parametrize("missing", [*TOLD, "everything"])
def test_a_stage_that_said_nothing_leaves_a_gap_only(
    tmp_path: Path, make_night: Callable[..., Night], missing: str
) -> None:
    told = {stage: {} if missing in (stage, "everything") else said for stage, said in TOLD.items()}
    page = shown(make_night(), told, tmp_path, tmp_path)
    assert "</html>" in page


def test_columns_are_compared_on_both_sides(tmp_path: Path) -> None:
    found = {one.name: one for one in compare(*(split_folder(tmp_path) / side for side in ("train", "sealed")))}
    assert list(found) == ["n0", "n1", "when", "text", "gaps", "nothing", "same"]
    assert all(one.psi is not None for one in found.values())
    psi = {name: one.psi or 0.0 for name, one in found.items()}
    assert psi["n0"] < 0.05 < 1 < psi["n1"]
    assert psi["text"] > 1
    assert psi["gaps"] > 0.25
    assert psi["same"] == psi["nothing"] == pytest.approx(0, abs=1e-9)
    assert found["text"].labels == ("b", "c", EVIL, "new")[: len(found["text"].labels)] or "new" in found["text"].labels
    assert sum(found["text"].sealed) == pytest.approx(1)
    assert found["gaps"].missing[1] == pytest.approx(0.5, abs=0.05)
    assert found["when"].labels[0].startswith("2026-01-01")
    few = compare(*(split_folder(tmp_path / "few", rows=40) / side for side in ("train", "sealed")))
    assert {one.psi for one in few} == {None}


def test_stability_index_by_hand() -> None:
    assert stability_of_counts(np.array([9.5, 9.5]), np.array([4.5, 14.5])) == pytest.approx(0.25 * np.log(3), rel=1e-9)


def test_300_columns_stay_under_a_megabyte(tmp_path: Path, make_night: Callable[..., Night]) -> None:
    folder = split_folder(tmp_path / "split", columns=295, rows=600)
    features = [{**TOLD["features"]["features"][0], "name": f"a long feature name {n}"} for n in range(900)]
    told = {**TOLD, "features": {"rows": 600, "features": features, "left_out": {}}}
    page = shown(make_night(), told, folder, quarantine(tmp_path / "clean"))
    assert page.count("<figure") == 300
    assert len(page.encode()) < 1_000_000


def finished(
    home: Settings,
    night: Night,
    stage: str,
    told: dict[str, Any],
    state: str = "done",
    meta: dict[str, Any] | None = None,
    **error: Any,
) -> Path:
    """Record a stage of the night with its report; return its folder."""
    ledger = Ledger.open(home)
    ledger.open_night(night, "local")
    fence = ledger.begin_stage(night.model.name, night.night, stage)
    uri = f"nights/demo/{night_slug(night.night)}/{stage}-1"
    folder = home.storage / uri
    ref = None
    if state == "done":
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(told))
        ref = Ref(uri=uri, digest="0", stage=stage, meta=meta or {}).model_dump(mode="json")
    where = (night.model.name, night.night, stage, fence)
    ledger.finish_stage(*where, state=state, ref=ref, error=error or None)
    ledger.close()
    return folder


def test_the_page_is_made_from_what_the_ledger_knows(home: Settings, make_night: Callable[..., Night]) -> None:
    night = make_night()
    for stage, said in TOLD.items():
        folder = finished(home, night, stage, said)
        if stage == "split":
            split_folder(folder)
    path = publish_report(night, home)
    assert path == home.docs / "demo" / "nights" / f"{night_slug(night.night)}.html"
    before = path.read_text()
    assert "45</b>rows held back" in before
    assert before.count("<figure") == 7
    publish_report(night, home)
    assert path.read_text() == before  # a retry writes the same


def test_the_page_has_the_verdict_and_the_model_card(home: Settings, make_night: Callable[..., Night]) -> None:
    night = make_night()
    for stage in ("ingest", "sample", "clean"):
        finished(home, night, stage, TOLD[stage])
    meta = {"verdict": "kept", "metric": "roc_auc", "score": 0.9123, "sentence": f"Kept: {EVIL}."}
    folder = finished(home, night, "evaluate", {}, meta=meta)
    (folder / "card.html").write_text("<p>the card</p>")
    path = publish_report(night, home)
    assert path is not None
    page = path.read_text()
    text = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))
    assert "Verdict: kept" in text
    assert f"Kept: {EVIL}." in text
    assert "<script" not in page
    (link,) = re.findall(r'href="([^"#]+)"', page)
    assert (path.parent / link).read_text() == "<p>the card</p>"


def test_a_stopped_night_has_a_page_that_says_why(home: Settings, make_night: Callable[..., Night]) -> None:
    night = make_night()
    for stage in ("ingest", "sample", "clean"):
        finished(home, night, stage, TOLD[stage])
    finished(
        home,
        night,
        "validate",
        {},
        "failed",
        kind="DataError",
        what=f"the data break 1 hard rule {EVIL}",
        cure="correct the data",
        faults=["column 'age': seen 900"],
    )
    path = publish_report(night, home)
    assert path is not None
    page = path.read_text()
    assert "<script" not in page
    text = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))
    positions = [
        text.index(part)
        for part in (
            "Stopped at validate: the data break 1 hard rule",
            "correct the data",
            "seen 900",
            "Held back tonight",
        )
    ]
    assert positions == sorted(positions)
    assert "rules broken" not in text


def test_tonight_is_compared_with_what_the_live_version_learned_from(
    tmp_path: Path, make_night: Callable[..., Night]
) -> None:
    plain = make_night()
    dated = plain.model_copy(update={"model": plain.model.model_copy(update={"time": "when"})})
    old, split, clean = split_folder(tmp_path / "old") / "train", tmp_path / "split", tmp_path / "clean"
    both = {"split": split, "clean": clean}

    def chosen(night: Night, folders: dict[str, Path], trained: Path | None) -> tuple[Path, Path] | None:
        sides = choose_sides(night, folders, trained, 3)
        return (sides.train, sides.tonight) if sides else None

    assert chosen(plain, both, None) == (split / "train", split / "sealed")
    assert chosen(plain, both, old) == (old, clean / "cleaned")
    assert chosen(dated, both, old) == (old, split / "sealed")
    assert chosen(dated, {"clean": clean}, old) == (old, clean / "cleaned")  # stopped before the split
    assert chosen(plain, both, tmp_path / "removed") == (split / "train", split / "sealed")
    assert chosen(plain, {"clean": clean}, None) is None
    assert chosen(plain, {}, old) is None


def test_rows_count_by_their_weight(tmp_path: Path) -> None:
    odd = np.arange(2000) % 2 == 1
    table = pa.table(
        {"x": np.where(odd, 1.0, 0.0), "text": np.where(odd, "b", "a"), "_weight": np.where(odd, 9.0, 1.0)}
    )
    even = pa.table({"x": np.arange(2000) % 10 > 0, "text": np.where(np.arange(2000) % 10 > 0, "b", "a")})
    write_table(table, tmp_path / "sample")
    write_table(even.set_column(0, "x", even["x"].cast(pa.float64())), tmp_path / "all")
    for one in compare(tmp_path / "sample", tmp_path / "all"):
        assert one.psi == pytest.approx(0, abs=1e-3), one.name
    write_table(table.set_column(0, "x", table["text"]), tmp_path / "other")
    assert [one.name for one in compare(tmp_path / "sample", tmp_path / "other")] == ["text"]  # x is of another type


def test_the_schema_says_what_each_column_is() -> None:
    profile = {
        "age": {"kind": "number", "missing": 0.25, "quantiles": {"0.0": 17.0, "0.5": 37.0, "1.0": 1234567.5}},
        "plan": {"missing": 0.0, "distinct": 2, "top": [{"value": "a", "count": 3}, {"value": "b", "count": 1}]},
    }
    told = {
        "ingest": {"columns": {"age": "VARCHAR", "plan": "VARCHAR", "late": "BOOLEAN", "id": "BIGINT"}},
        "clean": {
            "kinds": {"age": "number", "plan": "category", "id": "dropped", "made": "number"},
            "profile": profile,
        },
    }
    found = {one["name"]: one for one in schema(told, "late")}
    assert list(found) == ["age", "plan", "late", "id", "made"]
    assert found["age"] == {
        "name": "age",
        "type": "VARCHAR",
        "kind": "number",
        "missing": 0.25,
        "holds": "17 … 1,234,568, median 37",
    }
    assert found["plan"]["holds"] == "2 values, most often a, b"
    assert (found["late"]["kind"], found["id"]["kind"]) == ("target", "not shown to the learner")
    assert [one["share"] for one in labels({"no": 3, "yes": 1})] == [0.75, 0.25]
    assert labels({"mean": 0.5}) == labels(None) == []


def test_an_unreadable_report_never_stops_a_night(
    home: Settings, make_night: Callable[..., Night], caplog: pytest.LogCaptureFixture
) -> None:
    (finished(home, make_night(), "clean", {}) / "report.json").write_text("{")
    assert publish_report(make_night(), home) is None
    assert "no page of this night" in caplog.text
