"""A night across hosts, from the source to a version in service, with hosts that die on the way.

Airflow is on PostgreSQL and Celery, tables are worked on by Dask, trials run on Ray, storage is an object store, and a
host of its own serves; nothing is shared on a disk. The version is that of a night on one machine.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from adult import COLUMNS
from certificates import Authority, give_key
from cluster import (
    BUCKET,
    CONTROL,
    KEYS,
    PROGRAM,
    WORKER,
    Cluster,
    cluster,
    kill,
    named,
    needs_cluster,
    private,
    spread,
    start_redis,
    stop_redis,
)
from hosts import (
    Host,
    certificates,
    join_dask,
    plain_environment,
    start_dask,
    start_ray,
    trials_on,
    wait_until,
    words_of,
)
from inside import inside
from moto_store import client, keys_of

from pipelines.ledger import Ledger
from pipelines.ledger.rows import StageRow, VersionRow
from pipelines.settings import Settings, load

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not os.environ.get("AIMASS_FULL"), reason="a whole night on several hosts: `make cluster`"),
    needs_cluster,
    pytest.mark.timeout(1500),
]
AT = "2026-03-01"
ROWS, ASKED = 10_000, 300
QUICK = [*("--trials", "8", "--param", 'tune__families=["lightgbm", "linear"]'), *("--param", "evaluate__plots=false")]
SERVING = ("gateway", "controller")
NUMBERS = {"age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"}


def rows_of(path: Path, target: Path, count: int) -> Path:
    """Write the first rows of a compressed file."""
    with gzip.open(path, "rt") as source, gzip.open(target, "wt") as stream:
        stream.writelines(islice(source, count))
    return target


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The source: the first rows of adult."""
    target = tmp_path_factory.mktemp("table") / "adult.csv.gz"
    return rows_of(shared_data / "adult" / "adult-train.csv.gz", target, ROWS)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Rows to predict, which no model has seen."""
    target = tmp_path_factory.mktemp("asked") / "rows.csv.gz"
    return rows_of(shared_data / "adult" / "adult-test.csv.gz", target, ASKED)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    """The DAG file as `aimass init` writes it; the source is found in each home."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "dags").mkdir()
    shared = ["--no-header", "--columns", ",".join(COLUMNS), "--target", "income", "--positive", ">50K"]
    one_machine(folder, "init", "adult", "--source", str(table), *shared)
    path = folder / "dags" / "retrain_adult.py"
    text = path.read_text()
    assert str(table) in text
    path.write_text(text.replace(str(table), "home:feed/adult.csv.gz"))
    return folder


def one_machine(folder: Path, *words: str) -> str:
    """Run a command in the home of one machine."""
    environment = {**plain_environment(folder), "AIMASS_HOME": str(folder / ".aimass")}
    done = subprocess.run(
        [PROGRAM, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def alone(project: Path, table: Path, asked: Path) -> tuple[str, str]:
    """Run the night on one machine; return the digest of its model, and what it predicts."""
    target = project / ".aimass" / "feed" / "adult.csv.gz"
    target.parent.mkdir(parents=True)
    shutil.copy(table, target)
    one_machine(project, "run", "adult", "--local", "--at", AT, *QUICK, "--param", "deploy__stop_before=true")
    one_machine(project, "predict", "adult", "--version", "1", "--input", str(asked), "--output", "p.csv")
    version, _ = recorded(load(home=project / ".aimass"))
    return version.model_digest, (project / "p.csv").read_text()


def recorded(settings: Settings) -> tuple[VersionRow, dict[str, StageRow]]:
    """The one version of a ledger, and the stages of its night."""
    with Ledger.open(settings) as ledger:
        (version,) = ledger.versions("adult")
        return version, {stage.stage: stage for stage in ledger.stages("adult", version.night)}


@pytest.fixture
def made(project: Path, table: Path, tmp_path: Path) -> Iterator[Cluster]:
    """The hosts: data, control, two workers; Ray with two nodes, Dask with two workers, and one that serves."""
    with cluster(workers=2, others=7) as found:
        spread(found, project / "dags" / "retrain_adult.py", {"adult.csv.gz": table})
        if (project / "expectations").is_dir():
            for host in (found.control, *found.workers):
                shutil.copytree(project / "expectations", host.folder / "expectations")
        clusters(found, tmp_path)
        serving(found, tmp_path)
        found.up(found.control, CONTROL)
        with ThreadPoolExecutor() as pool:
            list(pool.map(found.up, *zip(*further(found), strict=True)))
        yield found
        with ThreadPoolExecutor() as pool:
            list(pool.map(found.down, *zip((found.control, CONTROL), *further(found), strict=True)))


def further(made: Cluster) -> list[tuple[Host, tuple[str, ...]]]:
    """The hosts of the platform besides the one in control, with their parts."""
    return [*((host, WORKER) for host in made.workers), (made.others[6], SERVING)]


def clusters(made: Cluster, folder: Path) -> None:
    """Start Ray and Dask, and tell the hosts of the platform where they are."""
    token, keys = "7" * 64, certificates(folder / "dask")
    bucket = {"AIMASS_STORAGE": f"s3://{BUCKET}/storage", "AIMASS_S3_ENDPOINT": made.store, **KEYS}
    ray = start_ray(made.others[0], made.others[1:3], token)
    dask = start_dask(made.others[3], [], keys)
    for host in made.others[4:6]:
        join_dask(host, dask, keys, **bucket, AIMASS_HOME=str(host.folder / "home"))
    for host in (made.control, *made.workers):
        private(host.folder / "secrets" / "ray_token", token)
        shutil.copytree(keys, host.folder / "secrets" / "dask")
        made.more[host.name] |= {"AIMASS_RAY_ADDRESS": ray, "AIMASS_DASK_SCHEDULER": dask, "AIMASS_DASK_FROM_GB": "0"}


def serving(made: Cluster, folder: Path) -> None:
    """Make the host that serves, which can sign nothing, and certificates by which workers may ask its services."""
    host, source = made.others[6], Authority(folder / "authority")
    give_key(host.folder / "secrets", load(home=made.folder / "first", secrets_folder=made.folder / "secrets"))
    shutil.copy(made.folder / "secrets" / "ca.pem", host.folder / "secrets")
    for each in (*made.workers, host):
        own = source.issue(each.address)
        made.more[each.name] |= {
            "AIMASS_SERVE_CERTIFICATE": str(own.certificate),
            "AIMASS_SERVE_KEY": str(own.key),
            "AIMASS_SERVE_AUTHORITY": str(own.authority),
        }
    private(host.folder / "secrets" / "limits", made.broker)
    made.more[host.name] |= {
        "AIMASS_SERVE_ADDRESS": host.address,
        "AIMASS_LIMITS_URL_FILE": str(host.folder / "secrets" / "limits"),
    }


@pytest.mark.real_data
def test_a_night_across_hosts_is_served_and_equals_that_of_one_machine(
    project: Path, table: Path, made: Cluster, asked: Path
) -> None:
    told = made.aimass(made.workers[0], "doctor", parts=WORKER).stdout
    assert "2 workers with 2 threads, all as this machine" in told, told
    assert "2 nodes with 2 cores and 0 GPUs, all as this machine" in told, told
    ledger = load(home=made.folder / "look", ledger_url=made.database("ledger"))
    night = begin(made)
    survivor = storm(made)
    digest, predictions = alone(project, table, asked)  # while the worker that died is waited for
    assert night.wait(timeout=900) == 0, (made.control.folder / "night").read_text() + made.logs()
    said = (made.control.folder / "night").read_text()
    assert "adult of 2026-03-01: version 1 promoted" in said
    assert "live: version 1" in said

    version, stages = recorded(ledger)
    facts = stages["tune"].stats or {}
    sys.stdout.write(f"{said}\n{ {host.name: sorted(made.stages_on(host)) for host in made.workers} }\n{facts}\n")
    assert stages["tune"].attempt > 1
    assert {"tune", "register", "deploy"} <= made.stages_on(survivor)
    assert facts["runner"] == "ray_cluster"
    assert facts["resumed"] >= 1, "the worker that took over went on from the trials that had ended"
    brought = [list((host.folder / "home/cache/storage/nights").rglob("*.parquet")) for host in made.others[4:6]]
    assert any(brought), "Dask's workers read the tables"

    assert version.model_digest == digest
    assert batch(made, asked) == predictions
    assert over_http(made, ledger, asked) == [
        {"prediction": row["prediction"], "probability": float(row["probability"])}
        for row in csv.DictReader(io.StringIO(predictions))
    ]


def begin(made: Cluster) -> subprocess.Popen[Any]:
    """Start the night on the platform; what it says goes to a file of the control host."""
    command = ["ip", "netns", "exec", made.control.name, *named(made.control), PROGRAM, "run", "adult", "--at", AT]
    environment = {**plain_environment(made.control.folder), **made.settings(made.control, CONTROL)}
    with (made.control.folder / "night").open("w") as log:
        night = subprocess.Popen(
            [*command, *QUICK], env=environment, cwd=made.control.folder, stdout=log, stderr=subprocess.STDOUT
        )
    made.control.started.append(night)
    return night


def storm(made: Cluster) -> Host:
    """Restart the broker, kill a node of Ray, then the worker that searches; return the worker that is left."""
    node = made.others[1]
    wait_until(lambda: bool(trials_on(node)), "no trial runs on the first node of Ray", 400, made.logs)
    stop_redis(made)
    kill(node)
    start_redis(made)
    wait_until(lambda: kept(made) >= 1, "the search does not go on without the node", 120, made.logs)
    (host,) = [each for each in made.workers if any("tune" in words_of(process) for process in each.processes())]
    kill(host)
    made.workers = [each for each in made.workers if each is not host]
    return made.workers[0]


def kept(made: Cluster) -> int:
    """How many trials of a search that goes on are in the object store."""
    journals = [key for key in keys_of(made.store, BUCKET, "storage/searches/adult/") if key.endswith("journal.jsonl")]
    lines = [client(made.store).get_object(Bucket=BUCKET, Key=key)["Body"].read().splitlines() for key in journals]
    return sum(len(each) - 1 for each in lines)


def batch(made: Cluster, rows: Path) -> str:
    """Predict rows on a host that has nothing of the model on its disk."""
    shutil.copy(rows, made.control.folder / "rows.csv.gz")
    files = ["--input", "rows.csv.gz", "--output", "p.csv"]
    done = made.aimass(made.control, "predict", "adult", "--version", "1", *files)
    assert done.returncode == 0, done.stderr
    return (made.control.folder / "p.csv").read_text()


def over_http(made: Cluster, settings: Settings, rows: Path) -> list[dict[str, Any]]:
    """Ask the gateway of the host that serves for the same rows."""
    with gzip.open(rows, "rt") as stream:
        table = [dict(zip(COLUMNS, map(str.strip, row), strict=True)) for row in csv.reader(stream) if row]
    instances = [{name: float(cell) if name in NUMBERS else cell for name, cell in row.items()} for row in table]
    with Ledger.open(settings) as ledger:
        token = ledger.issue_token("rows", ["predict"], 1)
        assert [row.actual for row in ledger.serving("adult")] == ["ready"]
    headers = {"Authorization": f"Bearer {token}"}
    with (
        inside(made.others[6]),
        httpx.Client(base_url="http://127.0.0.1:8000", headers=headers, trust_env=False, timeout=60) as gateway,
    ):
        told = gateway.post("/v1/models/adult:predict", json={"instances": instances})
        assert told.status_code == 200, told.text
        assert told.json()["model_version"] == 1
        found: list[dict[str, Any]] = told.json()["predictions"]
        return found
