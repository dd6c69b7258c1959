"""`aimass init`: what is found in a source, what is written, and what is refused."""

from __future__ import annotations

import ast
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cleaning.spec import CleanSpec
from pipelines.cli import init as init_module
from pipelines.cli.init import InitReport, init_model, template_drift
from pipelines.cli.template import CLASSES, VARIABLES, is_draft, spec_text
from pipelines.errors import DataError, SpecError
from pipelines.ingestion.spec import Derived, Files, IngestSpec, Join, Sql
from pipelines.spec import ModelSpec

ROOT = Path(__file__).parents[3]
Init = Callable[..., InitReport]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIMASS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def init(project: Path) -> Init:
    def build(text: str, target: str = "label", name: str = "demo", **options: Any) -> InitReport:
        (project / "data.csv").write_text(text)
        return init_model(name, "data.csv", target, dags=project / "flows", **options)

    return build


def table(labels: list[str], rows: int = 60) -> str:
    lines = [
        f"{n},{n * 1.5},{'ab'[n % 2]},{1 + n % 12}/{1 + n % 28}/2026,{labels[n % len(labels)]}" for n in range(rows)
    ]
    return "\n".join(["id,size / (m).1,kind,day,label", *lines, ""])


def specs_of(dag: Path) -> dict[str, Any]:
    names = {"ModelSpec": ModelSpec, "IngestSpec": IngestSpec, "Files": Files, "Sql": Sql, "CleanSpec": CleanSpec}
    found = {}
    for node in ast.parse(dag.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in names:
            found[ast.unparse(node.targets[0])] = eval(ast.unparse(node.value), dict(names))
    return found


def test_both_files_are_written_and_match_the_template(init: Init, project: Path) -> None:
    report = init(table(["yes ", " no"]), key=("id",), time="day")
    assert report.dag == project / "flows" / "retrain_demo.py"
    assert report.suite == project / "expectations" / "demo" / "suite.json"
    specs = specs_of(report.dag)
    assert specs["MODEL"] == report.model
    assert (report.model.positive, report.model.key, report.model.time) == ("yes", ("id",), "day")
    assert specs["INGEST"] == IngestSpec(source="data.csv", time_formats=("%m/%d/%Y",))
    assert specs["CLEAN"].dates == {"day": ("%m/%d/%Y",)}
    assert template_drift(report.dag) == []
    rules = json.loads(report.suite.read_text())["expectations"]
    assert {rule["severity"] for rule in rules} == {"warning"}
    assert {"size / (m).1", "kind", "day", "_y"} <= {rule["kwargs"].get("column") for rule in rules}
    assert not (project / "home").exists()


@pytest.mark.parametrize(
    ("labels", "task", "positive"),
    [
        (["0", "1", "1"], "binary", "1"),
        (["good", "good", "bad"], "binary", "bad"),
        (["good", "True"], "binary", "true"),
        (["a", "b", "c"], "multiclass", None),
        (["3", "4", "5", "6"], "multiclass", None),
        (["1.5", "2", "3.25"], "regression", None),
        ([str(n) for n in range(40)], "regression", None),
        (["none", "mild", "severe"], "multiclass", None),
        (["some", "none", "none"], "binary", "some"),
        ([*(f"{n}.5" for n in range(40)), "-", "none", "NA"], "regression", None),
    ],
)
def test_the_task_is_seen_in_the_data(init: Init, labels: list[str], task: str, positive: str | None) -> None:
    report = init(table(labels, 240))
    assert (report.model.task, report.model.positive) == (task, positive)
    assert any(line.startswith(f"task: {task}, ") for line in report.lines)


def test_a_time_column_may_be_kept_from_the_learner(init: Init) -> None:
    """It still seals by date."""
    report = init(table(["yes", "no"]), time="day", drop=("day",))
    assert (report.model.time, report.model.drop) == ("day", ("day",))


def test_declared_task_and_stripped_positive(init: Init) -> None:
    text = table([" >50K", " <=50K"]).split("\n", 1)[1]
    columns = ("id", "a b", "kind", "day", "label")
    report = init(text, positive=">50K", header=False, columns=columns)
    assert report.model.positive == ">50K"
    assert specs_of(report.dag)["INGEST"].source.columns == columns
    assert init(table(["3", "4", "5"]), name="other", task="regression", metric="mae").model.judged_by == "mae"


def test_existing_files_are_kept_unless_forced(init: Init) -> None:
    report = init(table(["yes", "no"]))
    report.dag.write_text("mine")
    with pytest.raises(SpecError, match="there already"):
        init(table(["yes", "no"]))
    assert report.dag.read_text() == "mine"
    init(table(["yes", "no"]), force=True)
    assert template_drift(report.dag) == []


def test_both_or_none(init: Init, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = init_module.write_atomic

    def full(path: Path, data: str, mode: int = 0o600) -> None:
        if path.suffix == ".py":
            raise OSError(28, os.strerror(28))
        written(path, data, mode)

    monkeypatch.setattr(init_module, "write_atomic", full)
    with pytest.raises(SpecError, match="cannot write") as error:
        init(table(["yes", "no"]))
    assert "No space" in error.value.seen
    assert sorted(path.name for path in project.iterdir()) == ["data.csv"]


@pytest.mark.parametrize(
    ("options", "error", "what", "hint"),
    [
        ({"target": "lable"}, DataError, "missing column", "nearest is 'label'"),
        ({"positive": "yess"}, SpecError, "positive label does not occur", "perhaps 'yes'"),
        ({"name": "Not a name"}, SpecError, "cannot have this name", ""),
        ({"metric": "rmse"}, SpecError, "wrong setting", "rmse"),
        ({"header": False}, SpecError, "wrong setting", "columns"),
    ],
)
def test_faults_are_named_and_nothing_is_written(
    init: Init, project: Path, options: dict[str, Any], error: type[Exception], what: str, hint: str
) -> None:
    with pytest.raises(error, match=what) as caught:
        init(table(["yes", "no"]), **options)
    assert hint in str(caught.value)
    assert sorted(path.name for path in project.iterdir()) == ["data.csv"]


@pytest.mark.parametrize(
    ("text", "options", "what", "cure"),
    [
        (table(["yes", "no"]), {"time": "kind"}, "no dates that can be read", "time_formats"),
        (table(["yes"]), {}, "one class only", "right --target"),
        (table(["soon", "later", "x"]), {"task": "regression"}, "no numbers in a known writing", "NumberText"),
    ],
)
def test_what_the_data_refuse_leaves_a_draft(
    init: Init, project: Path, text: str, options: dict[str, Any], what: str, cure: str
) -> None:
    with pytest.raises(DataError, match=what) as caught:
        init(text, **options)
    dag = project / "flows" / "retrain_demo.py"
    assert cure in caught.value.cure
    assert str(dag) in caught.value.cure
    assert is_draft(dag)
    assert what in dag.read_text()
    assert template_drift(dag) == []
    assert specs_of(dag)["MODEL"].target == "label"
    report = init(table(["yes", "no"]))  # a draft is replaced without being forced
    assert not is_draft(report.dag)


def test_a_missing_source(project: Path) -> None:
    with pytest.raises(DataError, match="no source file"):
        init_model("demo", "absent-*.csv", "label", dags=project / "flows")


def test_drift_is_shown_and_specs_and_schedule_are_free(init: Init) -> None:
    dag = init(table(["yes", "no"])).dag
    text = dag.read_text().replace("SampleSpec()", "SampleSpec(fraction=0.5)").replace('"0 2 * * *"', '"0 5 * * *"')
    dag.write_text("# a comment\n" + text)
    assert template_drift(dag) == []
    dag.write_text(text.replace("validate(VALIDATE, cleaned)", "validate(VALIDATE, sampled)"))
    assert [line[:1] for line in template_drift(dag)] == ["-", "+"]
    dag.write_text("def broken(")
    with pytest.raises(SpecError, match="cannot be read"):
        template_drift(dag)


def test_the_demo_dag_follows_the_template() -> None:
    assert template_drift(ROOT / "dags" / "retrain_loans.py") == []


def test_specs_are_written_as_they_are_read_back() -> None:
    assert len(VARIABLES) == len(CLASSES)
    spec = IngestSpec(
        source=Files(path='/a "b"\\c\n.csv', header=False, columns=tuple(f"column {n} é" for n in range(40)))
    )
    assert eval(spec_text(spec), {"IngestSpec": IngestSpec, "Files": Files}) == spec
    clean = CleanSpec(dates={"d/1": ("%Y", "%m")}, missing=("x",))
    assert eval(spec_text(clean), {"CleanSpec": CleanSpec}) == clean
    assert spec_text(CleanSpec()) == "CleanSpec()"


@pytest.mark.parametrize(
    "text", ["a/b (c).d", 'quote"\\', "tab\tnew\nline", "no\xa0break \N{SNOWMAN}", "\x7f\N{PILE OF POO}"]
)
def test_any_text_is_written_as_the_literal_it_is(text: str) -> None:
    spec = ModelSpec(name="demo", task="regression", target=text)
    assert eval(spec_text(spec), {"ModelSpec": ModelSpec}) == spec


def test_a_folder_of_daily_files(init: Init, project: Path) -> None:
    folder = project / "feed"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"loans-2026-01-0{day}.csv").write_text(table(["yes", "no"]))
    report = init_model("daily", "feed", "label", dags=project / "flows", key=("id",))
    ingest = specs_of(report.dag)["INGEST"]
    assert ingest == IngestSpec(source=Files(path="feed", file_date="loans-%Y-%m-%d.csv"))
    assert "from pipelines.ingestion.spec import Files, IngestSpec" in report.dag.read_text()
    assert template_drift(report.dag) == []
    assert "file dates: loans-%Y-%m-%d.csv, seen in the names" in report.lines
    (folder / "loans-extra.csv").write_text(table(["yes", "no"]))
    plain = init_model("plain", "feed", "label", dags=project / "flows", key=("id",))
    assert specs_of(plain.dag)["INGEST"] == IngestSpec(source="feed")


def test_json_lines(project: Path) -> None:
    lines = [{"id": n, "size": n / 2, "ok": n % 2 == 0} for n in range(60)]
    (project / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = init_model("lines", "rows.jsonl", "ok", dags=project / "flows", key=("id",))
    assert (report.model.task, report.model.positive) == ("binary", "true")


def test_a_query_instead_of_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = sqlite3.connect(project / "rows.db")
    database.execute("CREATE TABLE rows (id INTEGER, size REAL, label TEXT)")
    database.executemany("INSERT INTO rows VALUES (?, ?, ?)", [(n, n / 2, "yn"[n % 2]) for n in range(60)])
    database.commit()
    database.close()
    monkeypatch.setenv("ROWS_DB", f"sqlite:///{project}/rows.db")
    query = "SELECT * FROM rows"
    report = init_model("asked", None, "label", sql=query, connection="ROWS_DB", dags=project / "flows", key=("id",))
    assert specs_of(report.dag)["INGEST"] == IngestSpec(source=Sql(query=query, connection="ROWS_DB"))
    assert "60 rows, 3 columns, connection 'ROWS_DB'" in report.lines
    assert template_drift(report.dag) == []
    for source, sql, connection in ((None, None, None), ("x", query, "ROWS_DB"), (None, query, None), ("x", None, "c")):
        with pytest.raises(SpecError, match="one source"):
            init_model("no", source, "label", sql=sql, connection=connection, dags=project / "flows")


def test_a_spec_of_many_sources_is_rendered_as_python() -> None:
    spec = IngestSpec(
        source=Files(path="home:feed/*.csv", file_date="f-%Y.csv"),
        joins=(
            Join(
                name="weather", source=Sql(query="SELECT 1", connection="lake"), on=["place"], time="at", serve="caller"
            ),
            Join(name="planes", source="planes.csv", on={"tail": "id"}, columns={"year": "built"}),
        ),
        derived=(Derived(name="late", expression="delay >= 15", serve="never"),),
    )
    names = {"IngestSpec": IngestSpec, "Files": Files, "Sql": Sql, "Join": Join, "Derived": Derived}
    assert eval(spec_text(spec), names) == spec
