"""Serving: the gateway against MLflow, BentoML and FastAPI, the same table, rows and machine, all in one run.

    make bench-serving
    make bench-serving ARGS="--seconds 10 --callers 1 8 32 128"

Ours is asked through the gateway, with token, limits and the prediction log on: a night's LightGBM, and the ensemble
of a night as it comes. The others serve a scikit-learn pipeline of one-hot columns and LightGBM of the same rows:
``mlflow models serve``, a BentoML service plain and with two workers and adaptive batching, FastAPI under uvicorn. The
load comes from wrk, which has to be on PATH; it shares the machine with what it measures.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

DATA = Path(__file__).parents[2] / "shared" / "data" / "adult" / "adult-train.csv.gz"
COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race",
    "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income",
]  # fmt: skip
NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
ROWS, TRIALS = 10_000, 8
SHARE, OPEN_CALLERS = 0.7, 64  # of the highest rate, in the last line of a kind of request; and who asks then
BIN = Path(sys.executable).parent
BENTO = """
import bentoml, joblib, numpy as np, pandas as pd

model = joblib.load({path!r})


@bentoml.service(workers={workers}, traffic={{"timeout": 60}}, metrics={{"enabled": False}})
class Adult:
    @bentoml.api({options})
    def predict(self, rows: list[dict]) -> list[float]:
        return model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
"""
FASTAPI = """
import sys
import joblib, pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load({path!r})
app = FastAPI()


class Body(BaseModel):
    instances: list[dict]


@app.post("/predict")
def predict(body: Body):
    return {{"predictions": model.predict_proba(pd.DataFrame(body.instances))[:, 1].tolist()}}
"""


@dataclass(frozen=True)
class System:
    """Something that serves: its address, and the body for a list of rows."""

    name: str
    url: str
    body: Any
    headers: dict[str, str]
    pids: tuple[int, ...]


def main() -> int:
    """Start each system in turn, load it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of load for each cell")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--only", nargs="+", help="systems by a part of their name")
    given = parser.parse_args()
    if shutil.which("wrk") is None or not DATA.is_file():
        raise SystemExit("wrk is not on PATH, or the data set adult is not beside this checkout")
    with tempfile.TemporaryDirectory(prefix="aimass-serving-") as folder:
        work = Path(folder)
        rows = read_rows(work)
        systems = {
            "ours, LightGBM": lambda: ours(work, "light", ["--param", 'tune__families=["lightgbm"]']),
            "ours, ensemble": lambda: ours(work, "whole", []),
            "mlflow models serve": lambda: mlflow(work, rows),
            "BentoML": lambda: bentoml(work, rows, 1, ""),
            "BentoML, 2 workers, batching": lambda: bentoml(
                work, rows, 2, "batchable=True, max_batch_size=64, max_latency_ms=1000"
            ),
            "FastAPI": lambda: fastapi(work, rows),
        }
        print(f"{'':<34}{'rows':>6}{'callers':>9}{'p50 ms':>9}{'p99 ms':>9}{'requests/s':>12}{'failed':>8}", flush=True)
        for name, start in systems.items():
            if given.only and not any(part in name for part in given.only):
                continue
            with start() as system:
                print(f"{name}: ready after {system[1]:.1f} s, {memory(system[0]):.0f} MB", flush=True)
                for count in (1, 1000):
                    best = 0.0
                    for callers in given.callers:
                        seen = load(system[0], rows[:count], callers, given.seconds, work)
                        best = max(best, seen["rate"])
                        show(name, count, callers, seen)
                    seen = load(system[0], rows[:count], OPEN_CALLERS, 2 * given.seconds, work, SHARE * best)
                    show(f"{name}, {SHARE:.0%}", count, OPEN_CALLERS, seen)
    return 0


def read_rows(work: Path) -> list[dict[str, Any]]:
    """Write the table that all learn from; return request rows of it."""
    with gzip.open(DATA, "rt") as source:
        lines = [line for _, line in zip(range(ROWS), source, strict=False)]
    (work / "adult.csv").write_text("".join([",".join(COLUMNS) + "\n", *lines]))
    rows = []
    for line in lines[:1000]:
        cells = dict(zip(COLUMNS[:-1], (cell.strip() for cell in line.split(",")), strict=False))
        rows.append({name: int(cell) if name in NUMBERS else cell for name, cell in cells.items()})
    return rows


def load(
    system: System, rows: list[dict[str, Any]], callers: int, seconds: int, work: Path, rate: float | None = None
) -> dict[str, float]:
    """Return what wrk measured; with a ``rate``, callers pause so that about so many requests come a second."""
    script = work / "wrk.lua"
    headers = {"Content-Type": "application/json", **system.headers}
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    lines.append(f"wrk.body = [==[{json.dumps(system.body(rows))}]==]")
    if rate is not None:
        # exponential pauses: the requests of many callers then come like those of strangers
        pause = f"-{1000 * callers / rate:.3f} * math.log(1 - math.random())"
        lines.append(f"function delay() return math.floor({pause}) end")
    script.write_text("\n".join(['wrk.method = "POST"', *lines]))
    command = ["wrk", "-t1", f"-c{callers}", f"-d{seconds}s", "--timeout", "60s", "--latency", "-s", str(script)]
    text = subprocess.run([*command, system.url], check=True, capture_output=True, text=True).stdout

    def ms(share: str) -> float:
        number, unit = re.search(rf"{share}\s+([0-9.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]  # wrk prints it
        return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]

    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", text).group(1))  # type: ignore[union-attr]  # wrk prints it
    return {"p50": ms("50%"), "p99": ms("99%"), "rate": rate, "failed": int(failed.group(1)) if failed else 0}


def show(name: str, rows: int, callers: int, seen: dict[str, float]) -> None:
    """Print one line of the table."""
    cells = f"{seen['p50']:>9.2f}{seen['p99']:>9.2f}{seen['rate']:>12.1f}{seen['failed']:>8.0f}"
    print(f"{name:<34}{rows:>6}{callers:>9}{cells}", flush=True)


def memory(system: System) -> float:
    """Return the resident memory of a system's processes in MB; shared pages count once (PSS)."""
    import psutil

    total = 0.0
    for pid in system.pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            for each in [process, *process.children(recursive=True)]:
                total += each.memory_full_info().pss / 1e6
    return total


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], ready: str, log: Path, **environment: str) -> Iterator[tuple[int, float]]:
    """Run a server until this ends; yield its pid and the seconds until an address responds."""
    started = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        while True:
            if process.poll() is not None or time.monotonic() - started > 120:
                raise SystemExit(f"{command[:3]} did not start; {log.read_text()[-2000:]}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(ready, trust_env=False).status_code < 500:
                    break
            time.sleep(0.05)
        yield process.pid, time.monotonic() - started
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def night(work: Path, name: str, more: list[str]) -> Path:
    """Train a night on the table that all learn from; return its home."""
    folder = work / name
    environment = {**os.environ, "AIMASS_HOME": str(folder / "home")}
    folder.mkdir()
    for words in (
        ["init", "adult", "--source", str(work / "adult.csv"), "--target", "income", "--positive", ">50K"],
        ["run", "adult", "--local", "--trials", str(TRIALS), *more],
    ):
        subprocess.run([BIN / "aimass", *words], check=True, cwd=folder, env=environment, capture_output=True)
    return folder / "home"


@contextlib.contextmanager
def ours(work: Path, name: str, more: list[str]) -> Iterator[tuple[System, float]]:
    """Train a night, serve its version and the gateway."""
    from pipelines import settings as settings_module
    from pipelines.deployment.serve import private_service
    from pipelines.ledger import Ledger

    port = free_port()
    settings = settings_module.load(home=night(work, name, more))
    with Ledger.open(settings) as ledger:
        token = ledger.issue_token("bench", ["predict"], 1, rate="1000000000/hour", quota="1000000000/month")
        started = time.monotonic()
        with private_service(settings, "adult", 1, 60) as address:
            cold = time.monotonic() - started
            ledger.want("adult", 1, "serve")
            ledger.observe("adult", 1, "ready", address=address)
            environment = {"AIMASS_HOME": str(settings.home), "AIMASS_GATEWAY_PORT": str(port)}
            ready, log = f"http://127.0.0.1:{port}/readyz/adult", work / f"{name}.log"
            with running([sys.executable, "-m", "pipelines.gateway"], ready, log, **environment) as (pid, _):
                url = f"http://127.0.0.1:{port}/v1/models/adult:predict"
                headers = {"Authorization": f"Bearer {token}"}
                service = int(subprocess.check_output(["pgrep", "-n", "-f", "bentos/launch.py"]))
                yield System(name, url, lambda rows: {"instances": rows}, headers, (pid, service)), cold


def pipeline(work: Path, rows: list[dict[str, Any]]) -> Path:
    """Fit the pipeline that the others serve; return its file."""
    path = work / "pipeline.joblib"
    if path.exists():
        return path
    import joblib
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.read_csv(work / "adult.csv", skipinitialspace=True)
    texts = [name for name in rows[0] if name not in NUMBERS]
    columns = ColumnTransformer([("one", OneHotEncoder(handle_unknown="ignore"), texts)], remainder="passthrough")
    model = make_pipeline(columns, LGBMClassifier(n_estimators=200, n_jobs=1, verbose=-1))
    joblib.dump(model.fit(frame[COLUMNS[:-1]], frame["income"]), path)
    return path


@contextlib.contextmanager
def mlflow(work: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[System, float]]:
    """Serve the pipeline with ``mlflow models serve``."""
    import joblib
    import mlflow.sklearn

    folder, port = work / "mlflow-model", free_port()
    if not folder.exists():
        model = joblib.load(pipeline(work, rows))
        mlflow.sklearn.save_model(model, folder, pip_requirements=[], serialization_format="cloudpickle")
    command = [str(BIN / "mlflow"), "models", "serve", "-m", str(folder), "-p", str(port), "--env-manager", "local"]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    with running(command, f"http://127.0.0.1:{port}/ping", work / "mlflow.log", PATH=path) as (pid, cold):
        url = f"http://127.0.0.1:{port}/invocations"
        yield System("mlflow", url, lambda rows: {"dataframe_records": rows}, {}, (pid,)), cold


@contextlib.contextmanager
def bentoml(work: Path, rows: list[dict[str, Any]], workers: int, options: str) -> Iterator[tuple[System, float]]:
    """Serve the pipeline with ``bentoml serve``."""
    folder, port = work / f"bento{workers}", free_port()
    folder.mkdir()
    text = BENTO.format(path=str(pipeline(work, rows)), workers=workers, options=options)
    (folder / "service.py").write_text(text)
    command = [str(BIN / "bentoml"), "serve", "service:Adult", "--working-dir", str(folder), "--port", str(port)]
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(work / "bentoml")}
    command += ["--host", "127.0.0.1"]
    with running(command, f"http://127.0.0.1:{port}/readyz", work / f"bento{workers}.log", **quiet) as (pid, cold):
        url = f"http://127.0.0.1:{port}/predict"
        yield System("BentoML", url, lambda rows: {"rows": rows}, {}, (pid,)), cold


@contextlib.contextmanager
def fastapi(work: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[System, float]]:
    """Serve the pipeline with FastAPI under uvicorn, two workers."""
    folder, port = work / "fastapi", free_port()
    folder.mkdir()
    (folder / "main.py").write_text(FASTAPI.format(path=str(pipeline(work, rows))))
    command = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", str(folder), "--port", str(port)]
    command += ["--workers", "2", "--no-access-log"]
    with running(command, f"http://127.0.0.1:{port}/docs", work / "fastapi.log") as (pid, cold):
        url = f"http://127.0.0.1:{port}/predict"
        yield System("FastAPI", url, lambda rows: {"instances": rows}, {}, (pid,)), cold


if __name__ == "__main__":
    sys.exit(main())
