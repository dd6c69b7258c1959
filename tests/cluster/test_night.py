"""A night across hosts: Airflow on PostgreSQL with Celery, storage in an object store, nothing shared on a disk.

In full form (``make cluster``) it is a night of the shared data set adult in which one of two workers dies, and its
version is that of a night on one machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from adult import COLUMNS
from cluster import CONTROL, PROGRAM, WORKER, Cluster, cluster, kill, named, needs_cluster, spread
from hosts import Host, plain_environment, wait_until

from pipelines.ledger import Ledger
from pipelines.settings import load

FULL = bool(os.environ.get("AIMASS_FULL"))
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not FULL, reason="a whole night on several hosts: `make cluster` runs it"),
    needs_cluster,
    pytest.mark.timeout(1500),
]
AT = "2026-03-01"
TRIALS = ["--trials", "6" if FULL else "2", "--param", 'tune__families=["lightgbm", "linear"]']
QUICK = [*TRIALS, "--param", "deploy__stop_before=true", "--param", "evaluate__plots=false"]


def rows_of(path: Path, target: Path, count: int) -> Path:
    """Write the first rows of a compressed file."""
    import gzip
    from itertools import islice

    with gzip.open(path, "rt") as source, gzip.open(target, "wt") as stream:
        stream.writelines(islice(source, count))
    return target


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The source: adult, in short form its first rows."""
    target = tmp_path_factory.mktemp("table") / "adult.csv.gz"
    return rows_of(shared_data / "adult" / "adult-train.csv.gz", target, 40_000 if FULL else 3_000)


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
    environment = {**plain_environment(folder), "AIMASS_HOME": str(folder / ".aimass")}
    done = subprocess.run(
        [PROGRAM, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.real_data
def test_a_night_across_hosts(project: Path, table: Path, tmp_path: Path, shared_data: Path) -> None:
    with cluster(workers=2 if FULL else 1) as made:
        spread(made, project / "dags" / "retrain_adult.py", {"adult.csv.gz": table})
        if (project / "expectations").is_dir():
            for host in (made.control, *made.workers):
                shutil.copytree(project / "expectations", host.folder / "expectations")
        made.up(made.control, CONTROL)
        for host in made.workers:
            made.up(host, WORKER)
        version = a_night(made, kills=FULL)
        for host in (made.control, *made.workers[: None if not FULL else 1]):
            made.aimass(host, "down", parts=CONTROL if host is made.control else WORKER)
        rows = rows_of(shared_data / "adult" / "adult-test.csv.gz", tmp_path / "rows.csv.gz", 500)
        found = predictions(made, rows, version)
        if FULL:
            target = project / ".aimass" / "feed" / "adult.csv.gz"
            target.parent.mkdir(parents=True)
            shutil.copy(table, target)
            one_machine(project, "run", "adult", "--local", "--at", AT, *QUICK)
            one_machine(project, "predict", "adult", "--version", "1", "--input", str(rows), "--output", "p.csv")
            assert found == (project / "p.csv").read_text()
    assert len(found.splitlines()) > 400


def a_night(made: Cluster, kills: bool) -> int:
    """Run a night on the platform; one worker dies in its search where ``kills``. Return the version."""
    command = ["ip", "netns", "exec", made.control.name, *named(made.control), PROGRAM, "run", "adult", "--at", AT]
    environment = {**plain_environment(made.control.folder), **made.settings(made.control, CONTROL)}
    with (made.control.folder / "night").open("w") as log:
        night = subprocess.Popen(
            [*command, *QUICK], env=environment, cwd=made.control.folder, stdout=log, stderr=subprocess.STDOUT
        )
    made.control.started.append(night)
    if kills:
        wait_until(lambda: bool(searching(made)), "no worker searches", 400, made.logs)
        (host,) = searching(made)
        kill(host)
        made.workers = [each for each in made.workers if each is not host] + [host]
    code = night.wait(timeout=900)
    said = (made.control.folder / "night").read_text()
    assert code == 0, said + made.logs()
    assert "adult of 2026-03-01: version 1" in said
    assert {"ingest", "tune", "register"} <= set().union(*map(made.stages_on, made.workers))
    with Ledger.open(load(home=made.folder / "look", ledger_url=made.database("ledger"))) as ledger:
        (row,) = ledger.nights("adult")
        states = {stage.stage: stage.state for stage in ledger.stages("adult", row.night)}
        assert states["register"] == "done"
        tries = {stage.stage: stage.attempt for stage in ledger.stages("adult", row.night)}
        assert len(ledger.versions("adult")) == 1
    sys.stdout.write(f"{said}\n{ {host.name: sorted(made.stages_on(host)) for host in made.workers} }\n{tries}\n")
    if kills:
        assert tries["tune"] > 1
        assert "tune" in made.stages_on(made.workers[0])
    return 1


def searching(made: Cluster) -> list[Host]:
    """Hosts on which the search runs."""
    return [host for host in made.workers if any("tune" in words(each) for each in host.processes())]


def words(process: psutil.Process) -> list[str]:
    """The command line of a process; empty if it has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def predictions(made: Cluster, rows: Path, version: int) -> str:
    """Predict rows on a host that has nothing of the model on its disk."""
    shutil.copy(rows, made.control.folder / "rows.csv.gz")
    files = ["--input", "rows.csv.gz", "--output", "p.csv"]
    done = made.aimass(made.control, "predict", "adult", "--version", str(version), *files)
    assert done.returncode == 0, done.stderr
    return (made.control.folder / "p.csv").read_text()
