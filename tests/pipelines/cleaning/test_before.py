"""A home of the release before: what is read otherwise is told once, and the setting named keeps the old reading."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from small_night import AS_OF, data_stages, predictor_of, trained

from pipelines import settings as settings_module
from pipelines import storage
from pipelines.artifacts import Night
from pipelines.cleaning.before import changes, read_before
from pipelines.cleaning.learn import learn
from pipelines.cleaning.spec import CleanSpec, NumberText
from pipelines.cleaning.table import reading
from pipelines.inference.manifest import write_manifest
from pipelines.inference.recipe.number_parsing import NumberText as Written
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.ingestion.spec import IngestSpec
from pipelines.ledger import Ledger
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
COUNT = 60
CELLS: dict[str, tuple[list[str], Column]] = {
    "price": (["1.234,50 €", "99,00 €", "12.000,00 €"], Column("", "category")),
    "comma": (["1,5", "12,25", "0,75"], Column("", "category")),
    "clock": (["07:45", "23:10", "12:00"], Column("", "category")),
    "mostly": (["1", "2.5", "unknown", "7"], Column("", "category")),
    "named day": (["01JAN2026", "15FEB2026", "28FEB2026"], Column("", "category")),
    "zip": (["01234", "99999", "00501"], Column("", "number")),
    "lists": (["[1,2]", "[3]", "[]"], Column("", "category")),
    "unit": (["12 kg", "13.5 kg", "9 kg"], Column("", "category")),
    "day": (["31/12/2025", "15/01/2026", "28/02/2026"], Column("", "date", ("%d/%m/%Y",))),
    "moment": (["31/12/2025 10:30", "15/01/2026 11:00", "28/02/2026 12:15"], Column("", "date", ("%d/%m/%Y %H:%M",))),
    "plain": (["1.5", "2", "-3"], Column("", "number")),
    "flag": (["true", "false", "true"], Column("", "category")),
    "bit": (["1", "0", "1"], Column("", "number")),
    "town": (["Bern", "Genf", "Zug"], Column("", "category")),
    "declared": (["1.234,5", "99,0", "1,25"], Column("", "number", written=Written(",", "."))),
}
"""Texts, and how the release before read them."""
OTHERWISE = {"price", "comma", "clock", "mostly", "named day", "zip", "lists", "unit"}
DECLARED = CleanSpec(numbers={"declared": NumberText(decimal=",", thousands=".")})


def table() -> pa.Table:
    cells = {name: [texts[index % len(texts)] for index in range(COUNT)] for name, (texts, _) in CELLS.items()}
    return pa.table(
        {
            "id": [str(index) for index in range(COUNT)],
            **cells,
            "label": [("yes", "no")[index * 7 % 11 < 5] for index in range(COUNT)],
            "_key": [str(index) for index in range(COUNT)],
            "_time": pa.nulls(COUNT, pa.timestamp("us", "UTC")),
            "_sealed": [index % 10 == 0 for index in range(COUNT)],
            "_weight": [1.0] * COUNT,
        }
    )


def old_recipe() -> RowRecipe:
    """Read what the release before wrote."""
    entries = []
    for name, (_, column) in {"id": ([], Column("", "dropped")), **CELLS, "label": ([], Column("", "dropped"))}.items():
        entry: dict[str, Any] = {"name": name, "kind": column.kind}
        if column.formats:
            entry["formats"] = list(column.formats)
        if column.written is not None:
            entry["written"] = column.written.to_json()
        entries.append(entry)
    content = {"format": 2, "columns": entries, "missing": ["", "?"], "missing_values": ["-"], "refuse_controls": True}
    return RowRecipe.from_json(json.dumps(content))


def setting_of(line: str) -> dict[str, Any]:
    """Read the setting that a line names, as pasted into CLEAN."""
    text = re.search(r"keep the old reading: (\w+=\{.*\}) in CLEAN", line)
    assert text is not None, line
    ast.parse(f"CleanSpec({text[1]})")
    return eval(f"dict({text[1]})", {"NumberText": NumberText, "dict": dict, "__builtins__": {}})


def test_each_column_that_is_read_otherwise_is_told_and_no_other() -> None:
    now, _ = learn(table(), MODEL, DECLARED)
    lines = changes(old_recipe(), now)
    assert {re.match(r"column '([^']+)'", line)[1] for line in lines} == OTHERWISE
    for line in lines:
        name = re.match(r"column '([^']+)'", line)[1]
        old = next(column for column in old_recipe().columns if column.name == name)
        assert reading(old) in line
        assert reading(next(column for column in now.columns if column.name == name)) in line


def as_before() -> CleanSpec:
    """Return CLEAN with all of the settings that were named."""
    now, _ = learn(table(), MODEL, DECLARED)
    settings: dict[str, Any] = {"numbers": dict(DECLARED.numbers)}
    for line in changes(old_recipe(), now):
        for field, value in setting_of(line).items():
            settings.setdefault(field, {}).update(value)
    return CleanSpec(**settings)


def test_the_setting_named_keeps_the_old_reading() -> None:
    kept, _ = learn(table(), MODEL, as_before())
    assert changes(old_recipe(), kept) == []
    raw = table()
    before, _ = old_recipe().apply(raw)
    after, unreadable = kept.apply(raw)
    assert not unreadable.to_numpy().any()
    for name in CELLS:
        assert before[name].fillna("gap").tolist() == after[name].fillna("gap").tolist(), name


@pytest.mark.parametrize(
    ("old", "kind"),
    [
        (Column("x", "dropped"), pa.duration("s")),
        (Column("x", "category"), pa.int64()),
        (Column("x", "category"), pa.timestamp("us")),
        (Column("x", "dropped"), pa.float64()),
        (Column("x", "category"), pa.time64("us")),
    ],
)
def test_typed_columns_keep_their_old_reading(old: Column, kind: pa.DataType) -> None:
    raw = table().append_column(
        "x", pa.array([1, 2, 3] * (COUNT // 3), pa.int64() if kind != pa.float64() else kind).cast(kind)
    )
    now, _ = learn(raw, MODEL, DECLARED)
    (line,) = [text for text in changes(RowRecipe((old,)), now) if "'x'" in text]
    kept, _ = learn(raw, MODEL, DECLARED.model_copy(update=setting_of(line)))
    found = next(column for column in kept.columns if column.name == "x")
    assert (found.kind, reading(found)) == (old.kind, reading(old))


# --- whole nights


def source(folder: Path) -> Path:
    rows = table().drop_columns(["_key", "_time", "_sealed", "_weight"])
    lines = [";".join(rows.column_names)]
    for index in range(10 * COUNT):
        cells = [column[index % COUNT].as_py() for column in rows.columns]
        lines.append(";".join([str(index), *cells[1:]]))
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return folder / "rows.csv"


def age(settings: Settings, version: int) -> None:
    """Make a version what the release before would have made of it: its recipe is of the format before."""
    row = Ledger.open(settings).version("demo", version)
    folder = storage.resolve(settings, row.model_uri)
    path = folder / "plan" / "recipe.json"
    content = json.loads(path.read_text()) | {"format": 2}
    old = {column.name: column for column in old_recipe().columns}
    del content["normal_form"]
    for entry in content["columns"]:
        kept = {"name": entry["name"], "kind": old[entry["name"]].kind}
        entry.clear()
        entry.update(kept)
        if kept["name"] in ("day", "moment"):
            entry["formats"] = list(CELLS[kept["name"]][1].formats)
        if kept["name"] == "declared":
            entry["written"] = {"decimal": ",", "thousands": ".", "currency": False, "suffixes": []}
    path.write_text(json.dumps(content))
    write_manifest(folder, signing_key(settings).read_bytes())


def test_a_night_says_once_what_it_reads_otherwise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_module.load(home=tmp_path / "home", cores=2).ensure()
    spec = IngestSpec(source=str(source(tmp_path)))
    assert read_before(settings, "demo") is None
    version = trained(tmp_path / "first", settings, MODEL, spec, as_before())
    assert "by the release before" not in caplog.text
    assert read_before(settings, "demo") is None
    age(settings, version)
    assert predictor_of(settings, "demo", version).recipe.normal_form is False  # an old version is served on
    before = read_before(settings, "demo")
    assert before is not None
    night = Night(model=MODEL, night="second", as_of=AS_OF)
    made = data_stages(tmp_path / "second", settings, night, spec, DECLARED)
    told = [line for line in caplog.text.splitlines() if "by the release before" in line]
    assert len(told) == len(OTHERWISE)
    report = json.loads((made["cleaned"].path / "report.json").read_text())
    assert sum("by the release before" in note for note in report["notes"]) == len(OTHERWISE)
    trained(tmp_path / "third", settings, MODEL, spec, DECLARED)
    caplog.clear()
    assert read_before(settings, "demo") is None
    data_stages(tmp_path / "fourth", settings, Night(model=MODEL, night="fourth", as_of=AS_OF), spec, DECLARED)
    assert "by the release before" not in caplog.text


def test_a_version_that_was_tidied_away_is_no_fault(tmp_path: Path) -> None:
    settings = settings_module.load(home=tmp_path / "home").ensure()
    ledger = Ledger.open(settings)
    ledger.reserve("demo", "n1", 1)
    ledger.advance("demo", "n1", 1, state="staged", model_uri="models/demo/gone", model_digest="d", as_of=AS_OF)
    ledger.assign_version("demo", "n1", 1)
    assert read_before(settings, "demo") is None
    folder = storage.resolve(settings, "models/demo/gone") / "plan"
    folder.mkdir(parents=True)
    for text in ("", "{", '{"format": 99}', '{"format": 2}'):
        (folder / "recipe.json").write_text(text)
        assert read_before(settings, "demo") is None
