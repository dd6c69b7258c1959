"""A batch of any size: part by part, going on where it was stopped, to the bytes of one that was never disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.artifacts import Call
from pipelines.batch import predict, work
from pipelines.batch.predict import predict_file
from pipelines.batch.spec import BatchSpec
from pipelines.batch.stage import run
from pipelines.errors import DataError, SpecError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.secret_files import public_key
from pipelines.storage import DiskFullError, resolve

pytestmark = pytest.mark.slow

FULL = os.environ.get("AIMASS_FULL") == "1"


@pytest.fixture(scope="module")
def two(packaged: SimpleNamespace, tiny: Any) -> SimpleNamespace:
    """A model with version 1, which is live, and version 2."""
    tiny.take_to_bento(packaged.root, packaged.settings, packaged.night_of("night-2", 2, 2), seed=1)
    packaged.ledger.want("demo", 1, "serve")
    packaged.ledger.switch("demo", 1, 0, "test", "test")
    return packaged


@pytest.fixture
def source(tiny: Any, tmp_path: Path) -> Path:
    tiny.rows(1000, seed=5).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of some hundred rows."""
    monkeypatch.setattr(predict, "PART_CELLS", 2500)


class StoppedError(RuntimeError):
    """What ends the process of a test."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Let the work end as if the process died after so many parts; None: not at all."""
    add = work.Work.add

    def set_limit(parts: int | None) -> None:
        def limited(self: work.Work, *values: Any) -> None:
            if parts is not None and len(self.parts) >= parts:
                raise StoppedError
            add(self, *values)

        monkeypatch.setattr(work.Work, "add", limited)

    return set_limit


def predicted(two: SimpleNamespace, source: Path, target: Path, version: int | None = None) -> dict[str, Any]:
    return predict_file(two.settings, two.ledger, "demo", source, target, version)


@pytest.mark.full
@pytest.mark.parametrize("suffix", [".csv", ".parquet"] if FULL else [".csv"])
def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(
    two: SimpleNamespace, tiny: Any, tmp_path: Path, suffix: str
) -> None:
    rows = pd.concat([tiny.rows(100_000, seed) for seed in range(5)], ignore_index=True)
    rows["id"] = np.arange(len(rows))
    rows.to_csv(tmp_path / "in.csv", index=False)
    target = tmp_path / f"out{suffix}"

    def begin(target: Path) -> subprocess.Popen[bytes]:
        spec = BatchSpec(model="demo", input=str(tmp_path / "in.csv"), output=str(target))
        request = tmp_path / f"{target.stem}-request" / "request.json"
        request.parent.mkdir(exist_ok=True)
        request.write_text(Call(stage="batch", spec=spec.model_dump()).model_dump_json())
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIMASS_")}
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines", "batch", str(request)],
            env={**kept, "AIMASS_HOME": str(two.settings.home)},
            stderr=subprocess.PIPE,
        )

    process = begin(target)
    manifest = work.folder_of(target) / "manifest.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if manifest.exists() and len(json.loads(manifest.read_bytes())["parts"]) >= 1:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not target.exists()
    again = begin(target)
    _, log = again.communicate(timeout=120)
    assert again.returncode == 0, log.decode()
    result = json.loads((tmp_path / "out-request" / "result.json").read_text())["stats"]
    assert (result["rows"], result["version"]) == (500_000, 1)
    assert result["kept"] in (200_000, 400_000)
    assert f"{result['kept']} rows were predicted by an earlier attempt" in log.decode()
    undisturbed = begin(tmp_path / f"whole{suffix}")
    assert undisturbed.wait(120) == 0, undisturbed.stderr and undisturbed.stderr.read().decode()
    assert target.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["in.csv", target.name, f"whole{suffix}", "out-request", "whole-request"]
    )


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_parts_are_the_predictions_of_the_whole(two: SimpleNamespace, source: Path, tiny: Any, suffix: str) -> None:
    target = source.with_name(f"out{suffix}")
    facts = predicted(two, source, target)
    folder = resolve(two.settings, two.ledger.version("demo", 1).model_uri)
    predictor = ModelDirectory.open(folder, public_key(two.settings)).predictor
    raw = pd.read_csv(source, dtype="str", keep_default_na=False).replace({"": None})
    expected, warnings = predictor.predict_frame_counted(raw)
    found = pd.read_csv(target) if suffix == ".csv" else pd.read_parquet(target)
    assert list(found.columns) == ["id", "prediction", "probability"]
    assert list(found["id"].astype(int)) == list(range(1000))
    assert list(found["prediction"]) == list(expected["prediction"])
    assert list(found["probability"]) == list(expected["probability"])
    assert (facts["rows"], facts["kept"], facts["warnings"]) == (1000, 0, warnings)


@pytest.mark.usefixtures("small")
def test_a_version_is_never_mixed_with_another(two: SimpleNamespace, source: Path, stop_after: Any) -> None:
    target = source.with_name("out.csv")
    stop_after(2)
    with pytest.raises(StoppedError):
        predicted(two, source, target)
    assert not target.exists()
    stop_after(None)
    with pytest.raises(SpecError, match="of another version") as caught:
        predicted(two, source, target, 2)
    assert "predicted by version 1" in caught.value.seen
    two.ledger.switch("demo", 2, 0, "test", "test")
    try:
        facts = predicted(two, source, target)
    finally:
        two.ledger.switch("demo", 1, 0, "test", "test")
    assert facts["version"] == 1
    assert facts["kept"] > 0
    assert facts["notices"][0] == "out.csv is finished with version 1, which was live when it was begun"
    whole = source.with_name("whole.csv")
    predicted(two, source, whole, 1)
    assert target.read_bytes() == whole.read_bytes()
    predicted(two, source, target, 2)
    assert target.read_bytes() != whole.read_bytes(), "after its end an output may be made again, by any version"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", ["input", "code", "part", "manifest"])
def test_what_does_not_fit_any_more_is_predicted_again(
    two: SimpleNamespace, source: Path, stop_after: Any, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, whole = source.with_name("out.parquet"), source.with_name("whole.parquet")
    stop_after(3)
    with pytest.raises(StoppedError):
        predicted(two, source, target)
    stop_after(None)
    parts = sorted(work.folder_of(target).glob("part-*"))
    assert len(parts) == 3
    if change == "input":
        source.write_text(source.read_text() + "1000,50,Bern,40\n")
    elif change == "code":
        monkeypatch.setattr(predict, "code_digest", lambda _: "another")
    elif change == "part":
        content = bytearray(parts[1].read_bytes())
        content[60] ^= 1
        parts[1].write_bytes(content)
    else:
        (work.folder_of(target) / "manifest.json").write_text("{")
    kept = predicted(two, source, target)["kept"]
    assert kept == (pq.read_metadata(target).row_group(0).num_rows if change == "part" else 0)
    predicted(two, source, whole)
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("small")
def test_a_full_disk_keeps_what_is_done(two: SimpleNamespace, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = source.with_name("out.csv")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.batch.output._write_csv", full)
        with pytest.raises(DiskFullError):
            predicted(two, source, target)
    assert sorted(path.name for path in source.parent.iterdir()) == [".out.csv.parts", "in.csv"]
    monkeypatch.setattr("pipelines.batch.reading.load", full)  # all rows are predicted: nothing is read again
    assert predicted(two, source, target)["kept"] == 1000
    assert sorted(path.name for path in source.parent.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.usefixtures("small")
def test_files_that_change_meanwhile_are_refused(
    two: SimpleNamespace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = work.Work.add

    def touching(self: work.Work, *values: Any) -> None:
        add(self, *values)
        if len(self.parts) == 2:
            source.write_text(source.read_text().replace("Bern", "Rome"))

    monkeypatch.setattr(work.Work, "add", touching)
    with pytest.raises(DataError, match="changed while they were read"):
        predicted(two, source, source.with_name("out.csv"))
    assert not source.with_name("out.csv").exists()


def test_one_process_at_a_time_writes_an_output(two: SimpleNamespace, source: Path) -> None:
    target = source.with_name("out.csv")
    with work.working(target), pytest.raises(SpecError, match="another process writes this output"):
        predicted(two, source, target)
    predicted(two, source, target)


def test_a_failure_before_the_first_part_leaves_nothing(two: SimpleNamespace, source: Path) -> None:
    source.write_text("id,amount,age\n1,2,3\n")
    with pytest.raises(DataError, match="lacks columns"):
        predicted(two, source, source.with_name("out.csv"))
    assert [path.name for path in source.parent.iterdir()] == ["in.csv"]


MOMENTS = {
    "days": ["2026-03-01", None, "2026-03-02"],
    "seconds": ["2026-03-01", "2026-03-01 01:02:03", None],
    "milliseconds": ["2026-03-01", "2026-03-02", "2026-03-02 01:02:03.5"],
    "microseconds": ["2026-03-01 00:00:00.000001", "2026-03-02", "2026-03-02 01:02:03.5"],
}


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("unit", MOMENTS)
def test_keys_look_alike_in_all_parts(
    two: SimpleNamespace, tmp_path: Path, unit: str, zone: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "PART_CELLS", 8)  # parts of one row
    keys = (
        pd.Series(pd.to_datetime(MOMENTS[unit], format="mixed"))
        .dt.tz_localize(zone)
        .astype(f"M8[us{', UTC' if zone else ''}]" if zone else "M8[us]")
    )
    frame = pd.DataFrame({"id": keys, "amount": [1.0, 2, 3], "town": "Bern", "age": 40})
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "in.parquet")
    predicted(two, tmp_path / "in.parquet", tmp_path / "out.csv")
    found = [line.split(",")[0].strip('"') for line in (tmp_path / "out.csv").read_text().splitlines()]
    whole = [line.split(",")[0].strip('"') for line in frame.to_csv(index=False).splitlines()]
    assert found == whole


def test_whole_numbers_with_gaps_and_endless_days_stay_what_they_are(
    two: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "PART_CELLS", 8)
    rest = {"amount": [1.0, 2, 3], "town": ["Bern"] * 3, "age": [40] * 3}
    big = 2**62 + 1
    pq.write_table(pa.table({"id": [big, None, 3], **rest}), tmp_path / "in.parquet")
    predicted(two, tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["id"].dtype == "Int64"
    assert found["id"].tolist() == [big, pd.NA, 3]
    predicted(two, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()] == ["id", str(big), "", "3"]
    days = pa.array([20_000, 2**31 - 1, None], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"id": days, **rest}), tmp_path / "in.parquet")
    predicted(two, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["2024-10-04", "infinity", None]


def test_the_operation_takes_paths_of_the_project_and_of_the_home(
    two: SimpleNamespace, source: Path, tmp_path: Path
) -> None:
    settings = two.settings.model_copy(update={"dags_folder": tmp_path / "dags"})
    outcome = run(BatchSpec(model="demo", input="in.csv", output="out.csv"), settings=settings)
    assert (outcome.stats["rows"], outcome.stats["output"]) == (1000, str(tmp_path / "out.csv"))
    (settings.home / "days").mkdir()
    (settings.home / "days" / "a.csv").write_text(source.read_text())
    run(BatchSpec(model="demo", input="home:days", output="home:out.csv"), settings=settings)
    assert (settings.home / "out.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    with pytest.raises(SpecError, match="no such version"):
        run(BatchSpec(model="demo", input="in.csv", output="out.csv", version=9), settings=settings)


@pytest.mark.parametrize("wrong", [{"output": "out.txt"}, {"model": ""}, {"version": 0}, {"input": ""}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="wrong setting"):
        BatchSpec(**{"model": "demo", "input": "in.csv", "output": "out.csv", **wrong})
