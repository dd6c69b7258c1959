"""The data path against pandas, Polars, DuckDB and Dask on the same job, and the whole chain of stages; one table.

    make bench-data                              # 10 M rows for all systems, the chain on 10 M and 50 M
    python benchmarks/data_path.py --rows 1000000 --growth 2000000

The job and the table are described in ``data_path_peers.py`` and ``job_table.py``. ``job`` is the wall clock from the
first line of the job to its last file, ``process`` has the interpreter's start and the imports in it, ``peak`` is the
memory of the process and its descendants, shared pages once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
from data_path_job import CLEAN, FEATURES, MODEL, SAMPLE
from job_table import job_table
from measure import Measured, measure

from pipelines.artifacts import Artifact, Night, Ref, Request, StageResult, write_atomic
from pipelines.cleaning import stage as cleaning
from pipelines.cleaning.spec import CleanSpec
from pipelines.features import stage as featuring
from pipelines.features.spec import FeatureSpec
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.ingestion import stage as ingesting
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings, load
from pipelines.spec import ModelSpec, Spec
from pipelines.splitting import stage as splitting
from pipelines.splitting.spec import SplitSpec
from pipelines.storage import dataset, write_table
from pipelines.storage.digests import table_digest
from pipelines.storage.file_io import threads
from pipelines.validation.spec import ValidateSpec
from pipelines.validation.suite import learn_suite, write_suite

HERE = Path(__file__).parent
CHAIN = ("ingest", "sample", "clean", "validate", "split", "features")
SYSTEMS = ("ours", "duckdb", "polars", "pandas", "dask")


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--growth", type=int, default=50_000_000, help="rows of the second chain; 0: none")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".bench", help="where Polars is installed")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--work", type=Path, help="folder for tables and results (default: a temporary one)")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="aimass-bench-"))
    try:
        table = job_table(work / f"job-{given.rows}.parquet", given.rows)
        print(f"{given.rows:,} rows × 20 columns, {table.stat().st_size / 1e6:.0f} MB of Parquet\n")
        core(table, work, given.peers, given.systems.split(","))
        chain_table(work, [given.rows, *([given.growth] if given.growth else [])])
        digest(table)
        one_row(work)
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    return 0


# --- the job, by every system --------------------------------------------------------------------------------------


def core(table: Path, work: Path, peers: Path, systems: list[str]) -> None:
    """Run the job once by every system, each in a process of its own."""
    print(f"{'the job':<12}{'job s':>8}{'process s':>11}{'peak MB':>9}")
    seconds: dict[str, float] = {}
    for name in systems:
        target = work / f"out-{name}"
        script = [str(HERE / "data_path_core.py")] if name == "ours" else [str(HERE / "data_path_peers.py"), name]
        environment = {**os.environ, "PYTHONPATH": str(peers), "POLARS_MAX_THREADS": "2"}
        log = work / f"{name}.log"
        log.unlink(missing_ok=True)
        done = measure([sys.executable, *script, str(table), str(target)], env=environment, log=log)
        if done.code:
            print(f"{name:<12}failed: {done.output.strip().splitlines()[-1][:100]}")
        else:
            seconds[name] = float(done.output.rsplit("job ", 1)[1])
            print(f"{name:<12}{seconds[name]:>8.1f}{done.seconds:>11.1f}{done.peak / 1e6:>9.0f}", flush=True)
        shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
    rivals = {name: seconds[name] for name in ("duckdb", "polars") if name in seconds}
    if rivals and "ours" in seconds:
        best = min(rivals, key=lambda name: rivals[name])
        print(f"ours / {best}: {seconds['ours'] / rivals[best]:.2f} (target 0.6)\n")


# --- the chain of stages -------------------------------------------------------------------------------------------


def chain_table(work: Path, sizes: list[int]) -> None:
    """Run ingest to features as the operator does, each stage a process of its own."""
    peaks = []
    for rows in sizes:
        home = work / f"home-{rows}"
        measured = chain(job_table(work / f"job-{rows}.parquet", rows), home)
        seconds = sum(done.seconds for done in measured.values())
        peaks.append(max(done.peak for done in measured.values()))
        print(f"the chain, {rows:,} rows")
        for stage, done in measured.items():
            print(f"  {stage:<10}{done.seconds:>8.1f} s{done.peak / 1e6:>8.0f} MB")
        target = " (target 90 s, 3,000 MB)" if rows == 10_000_000 else ""
        print(f"  {'all':<10}{seconds:>8.1f} s{peaks[-1] / 1e6:>8.0f} MB{target}", flush=True)
        shutil.rmtree(home, ignore_errors=True)
    if len(peaks) > 1:
        print(
            f"peak memory grows by {peaks[1] / peaks[0] - 1:.1%} from {sizes[0]:,} to {sizes[1]:,} rows (target 10%)\n"
        )


def chain(table: Path, home: Path) -> dict[str, Measured]:
    """Run the data stages on a table; return what each took."""
    settings = load(home=home, dags_folder=home / "dags").ensure()
    ledger = Ledger.open(settings)
    night = Night(model=MODEL, night="bench", as_of=datetime(2026, 1, 1, tzinfo=UTC))
    ledger.open_night(night, "local")
    suite = home / "suite.json"
    specs: dict[str, Spec] = {
        "ingest": IngestSpec(source=str(table)),
        "sample": SAMPLE,
        "clean": CLEAN,
        "validate": ValidateSpec(suite=str(suite)),
        "split": SplitSpec(),
        "features": FEATURES,
    }
    wires = {
        "ingest": {},
        "sample": {"raw": "ingest"},
        "clean": {"sampled": "sample"},
        "validate": {"cleaned": "clean"},
        "split": {"cleaned": "clean"},
        "features": {"split": "split", "cleaned": "clean"},
    }
    refs: dict[str, Ref] = {}
    measured: dict[str, Measured] = {}
    for stage in CHAIN:
        fence = ledger.begin_stage(MODEL.name, "bench", stage, specs[stage].model_dump(mode="json"))
        if stage == "validate":
            cleaned = dataset(settings.storage / refs["clean"].uri / "cleaned").head(100_000)
            write_suite(learn_suite(MODEL.name, cleaned, unique_key=True), home)
        call = home / "calls" / stage
        call.mkdir(parents=True)
        request = Request(
            stage=stage,
            night=night.model_copy(update={"fence": fence}),
            spec=specs[stage].model_dump(mode="json"),
            inputs={name: refs[source] for name, source in wires[stage].items()},
            settings={"lineage": {name: ref.model_dump() for name, ref in refs.items()}},
        )
        write_atomic(call / "request.json", request.model_dump_json())
        environment = {**os.environ, "AIMASS_HOME": str(home), "AIMASS_DAGS_FOLDER": str(home / "dags")}
        done = measure(
            [sys.executable, "-m", "pipelines", stage, str(call / "request.json")], env=environment, log=call / "log"
        )
        if done.code:
            raise SystemExit(f"{stage} failed with {done.code}:\n{done.output[-3000:]}")
        refs[stage] = StageResult.model_validate_json((call / "result.json").read_bytes()).ref
        measured[stage] = done
    ledger.close()
    return measured


# --- digest and one row --------------------------------------------------------------------------------------------


def digest(table: Path) -> None:
    """Digest the whole table as it is read, and two million of its rows from memory."""
    source = pads.dataset(table)
    read = source.scanner(batch_size=1 << 17)
    part = source.head(2_000_000)
    for words, rows, batches in (
        ("reading included", source.count_rows(), read.to_batches()),
        ("from memory", part.num_rows, part.to_batches(max_chunksize=1 << 17)),
    ):
        started = time.monotonic()
        table_digest(batches, source.schema, threads())
        rate = rows * len(source.schema.names) / (time.monotonic() - started) / 1e6
        print(f"full-content digest, {words}: {rate:.0f} M cells/s (target 50)")


def one_row(work: Path) -> None:
    """Time one row of adult through recipe and plan."""
    adult = HERE.parent.parent / "shared" / "data" / "adult" / "adult-train.csv.gz"
    if not adult.is_file():
        print("one row of adult: the data set is not beside this checkout")
        return
    predictor_rows = adult_plan(adult, work)
    print(f"one row of adult through recipe and plan: {predictor_rows:.3f} ms p50 (target 0.3)")


def adult_plan(adult: Path, work: Path) -> float:
    """Fit a plan on adult; return the median milliseconds of one row."""
    names = (
        "age",
        "workclass",
        "fnlwgt",
        "education",
        "education_num",
        "marital_status",
        "occupation",
        "relationship",
        "race",
        "sex",
        "capital_gain",
        "capital_loss",
        "hours_per_week",
        "native_country",
        "income",
    )
    model = ModelSpec(name="adult", task="binary", target="income", positive=">50K")
    night = Night(model=model, night="bench", as_of=datetime(2026, 1, 1, tzinfo=UTC))
    settings: Settings = load(home=work / "adult", dags_folder=work / "adult" / "dags").ensure()

    def staged(stage: Any, spec: Any, **inputs: Artifact) -> Artifact:
        folder = work / "adult" / stage.__name__
        folder.mkdir(parents=True)
        stage.run(spec, night=night, settings=settings, out=folder, **inputs)
        return Artifact(ref=Ref(uri="x", digest="", stage=stage.__name__), path=folder)

    raw = staged(ingesting, IngestSpec(source=Files(path=str(adult), header=False, columns=names)))
    table = dataset(raw.path / "raw").to_table()
    sampled = work / "adult" / "sampled"
    write_table(table.append_column("_weight", pa.array([1.0] * table.num_rows)), sampled / "sampled")
    cleaned = staged(cleaning, CleanSpec(), sampled=Artifact(ref=Ref(uri="x", digest="", stage="s"), path=sampled))
    split = staged(splitting, SplitSpec(), cleaned=cleaned)
    features = staged(featuring, FeatureSpec(), split=split, cleaned=cleaned)
    plan = FeaturePlan.load(features.path / "plan")
    recipe = plan.recipe.subset(plan.sources)
    rows = table.select(recipe.names).slice(0, 2_000).to_pylist()
    spent = []
    for row in rows:
        started = time.perf_counter()
        plan.transform_row(recipe.apply_row(row))
        spent.append((time.perf_counter() - started) * 1e3)
    return statistics.median(spent)


if __name__ == "__main__":
    sys.exit(main())
