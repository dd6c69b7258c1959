from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest

from pipelines import runner, stages, storage
from pipelines.__main__ import main
from pipelines.artifacts import Outcome, Request
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.process_usage import measured
from pipelines.spec import Spec


class DoubleSpec(Spec):
    times: int = 2


STAGE = stages.Stage("clean", "doubling", "DoubleSpec", "Double.", optional=("sampled",))


class Double:
    """A stage that multiplies a column; remembers how often it really ran."""

    def __init__(self):
        self.runs = 0
        self.outside = "a"
        self.fail = None

    def fingerprint(self, spec, night, settings):
        return self.outside

    def run(self, spec, *, night, settings, out, sampled=None):
        self.runs += 1
        if self.fail:
            (out / "half").write_text("x")
            raise self.fail
        start = storage.read_table(sampled.path / "rows")["a"].to_pylist() if sampled else [1, 2]
        rows = storage.write_table(pa.table({"a": [value * spec.times for value in start]}), out / "rows")
        return Outcome(rows=rows, meta={"times": spec.times}, stats={"night": night.night})


@pytest.fixture
def stage(monkeypatch):
    double = Double()
    module, specs = types.ModuleType("pipelines.doubling.stage"), types.ModuleType("pipelines.doubling.spec")
    module.fingerprint, module.run, specs.DoubleSpec = double.fingerprint, double.run, DoubleSpec
    monkeypatch.setitem(sys.modules, "pipelines.doubling", types.ModuleType("pipelines.doubling"))
    monkeypatch.setitem(sys.modules, "pipelines.doubling.stage", module)
    monkeypatch.setitem(sys.modules, "pipelines.doubling.spec", specs)
    monkeypatch.setitem(stages.BY_NAME, "clean", STAGE)
    return double


@pytest.fixture
def request_of(home, make_night):
    ledger = Ledger.open(home)

    def build(night="manual__1", inputs=None, **spec):
        fresh = make_night(night=night)
        ledger.open_night(fresh, "local")
        fence = ledger.begin_stage("demo", night, "clean")
        return Request(stage="clean", night=fresh.model_copy(update={"fence": fence}), spec=spec, inputs=inputs or {})

    build.ledger = ledger
    return build


def test_a_stage_is_published_and_recorded(home, stage, request_of):
    result = runner.run_stage(request_of(), home)
    folder = storage.resolve(home, result.ref.uri)
    assert storage.read_table(folder / "rows")["a"].to_pylist() == [2, 4]
    row = request_of.ledger.stages("demo", "manual__1")[0]
    assert (row.state, row.rows, row.ref["digest"], row.stats) == ("done", 2, result.ref.digest, {"night": "manual__1"})
    assert not list(home.staging.iterdir())
    assert row.made_of.keys() == {"model", "outside", "code", "environment", "python", "inputs", "facts"}
    assert (row.made_of["outside"], row.made_of["model"]["name"], row.made_of["inputs"]) == ("a", "demo", {})


def test_what_cannot_be_measured_does_not_fail_what_is_done(home, stage, request_of, caplog):
    with measured(from_birth=False) as meter:
        meter.usage = partial(divmod, 1, 0)
        assert runner.run_stage(request_of(), home, meter).ref.rows == 2
    assert request_of.ledger.stages("demo", "manual__1")[0].state == "done"
    assert "what clean took is not kept" in caplog.text


def test_an_equal_request_is_re_used_in_any_night(home, stage, request_of):
    first = runner.run_stage(request_of(), home)
    again = runner.run_stage(request_of(night="manual__2"), home)
    assert stage.runs == 1
    assert again.reused
    assert again.ref == first.ref
    assert [row.reused for row in request_of.ledger.stages("demo", "manual__2")] == [True]


@pytest.mark.parametrize("change", ["spec", "outside", "input"])
def test_any_change_runs_it_again(home, stage, request_of, change):
    first = runner.run_stage(request_of(), home)
    spec, inputs = {}, {}
    if change == "spec":
        spec = {"times": 3}
    elif change == "outside":
        stage.outside = "b"
    else:
        inputs = {"sampled": first.ref}
    again = runner.run_stage(request_of(night="manual__2", inputs=inputs, **spec), home)
    assert stage.runs == 2
    assert not again.reused


def test_a_damaged_result_is_made_again(home, stage, request_of):
    first = runner.run_stage(request_of(), home)
    part = storage.resolve(home, first.ref.uri) / "rows" / "part-00000.parquet"
    part.write_bytes(b"x" + part.read_bytes()[1:])
    again = runner.run_stage(request_of(), home)
    assert stage.runs == 2
    assert again.ref.digest == first.ref.digest
    assert storage.verify(storage.resolve(home, again.ref.uri))


def test_a_damaged_or_swapped_input_is_refused(home, stage, request_of):
    first = runner.run_stage(request_of(), home)
    swapped = first.ref.model_copy(update={"digest": "0" * 64})
    with pytest.raises(DataError, match="not the one that was produced"):
        runner.run_stage(request_of(inputs={"sampled": swapped}), home)
    with pytest.raises(SpecError, match="wrong inputs"):
        runner.run_stage(request_of(inputs={"raw": first.ref}), home)
    assert stage.runs == 1


def test_a_failing_stage_leaves_nothing_behind(home, stage, request_of):
    stage.fail = DataError("bad rows")
    with pytest.raises(DataError):
        runner.run_stage(request_of(), home)
    assert not list(home.staging.iterdir())
    assert not (home.storage / "nights").exists()


@pytest.mark.parametrize(
    ("failure", "code", "kind"),
    [(None, 0, None), (DataError("bad rows"), 21, "DataError"), (ZeroDivisionError("x"), 1, "transient")],
)
def test_the_command_leaves_a_result_or_an_error(home, stage, request_of, tmp_path, failure, code, kind, capsys):
    stage.fail = failure
    path = tmp_path / "request.json"
    path.write_text(request_of().model_dump_json())
    (tmp_path / "error.json").write_text("stale")
    assert main(["clean", str(path)]) == code
    if kind is None:
        assert json.loads((tmp_path / "result.json").read_text())["ref"]["rows"] == 2
        assert not (tmp_path / "error.json").exists()
    else:
        assert json.loads((tmp_path / "error.json").read_text())["kind"] == kind
        assert request_of.ledger.stages("demo", "manual__1")[0].state == "failed"
    (took,) = request_of.ledger.task_usage("demo", "manual__1")
    assert (took.stage, took.state, took.fence) == ("clean", "failed" if kind else "done", 1)
    assert took.peak_memory > 1e7
    assert took.cpu_seconds >= 0
    assert capsys.readouterr().out == ""


def test_the_page_of_a_night_is_shown_after_its_last_stage_re_used_too(home, stage, request_of, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "pipelines.features.nightly_report.publish_report", lambda night, settings: shown.append(night.night)
    )
    runner.run_stage(request_of(), home)
    assert shown == []  # a stage before the last
    monkeypatch.setitem(stages.BY_NAME, "clean", replace(STAGE, shows_page=True))
    runner.run_stage(request_of(night="manual__2"), home)
    assert shown == ["manual__2"]
    assert stage.runs == 1


@pytest.mark.parametrize(("failure", "nights"), [(DataError("bad rows"), ["manual__1"]), (ZeroDivisionError("x"), [])])
def test_a_stopped_night_has_a_page(home, stage, request_of, tmp_path, monkeypatch, failure, nights):
    shown = []
    monkeypatch.setattr(
        "pipelines.features.nightly_report.publish_report", lambda night, settings: shown.append(night.night)
    )
    stage.fail = failure
    path = tmp_path / "request.json"
    path.write_text(request_of().model_dump_json())
    main(["clean", str(path)])
    assert shown == nights  # what a retry may cure has not stopped the night


def test_the_command_refuses_what_it_cannot_read(home, stage, request_of, tmp_path, capsys):
    assert main(["clean", str(tmp_path / "request.json")]) == 20
    path = tmp_path / "request.json"
    path.write_text(request_of().model_dump_json())
    assert main(["ingest", str(path)]) == 20
    assert main(["--help"]) == 0
    assert main([]) == 20
    assert "example:" in capsys.readouterr().err


def test_an_unknown_stage_is_a_spec_error():
    with pytest.raises(SpecError, match="no such stage"):
        stages.get("bake")


def test_code_digest_follows_imports_inside_functions(tmp_path, monkeypatch):
    from pipelines import code_digest as module

    package = tmp_path / "pipelines"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("def f():\n    from pipelines import two\n")
    (package / "two.py").write_text("x = 1\n")
    monkeypatch.setattr(module, "ROOT", package)
    module._source.cache_clear()
    before = module.code_digest("pipelines.one")
    (package / "two.py").write_text("x = 2\n")
    assert module.code_digest("pipelines.one") != before
    module._source.cache_clear()
