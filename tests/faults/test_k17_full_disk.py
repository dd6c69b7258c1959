"""K17: the disk is full in each stage, in a backup and in a command: one clear error, callers notice nothing.

Run as a script, this file acts on a file system that is really full: a small tmpfs in a mount namespace of its own.
The short form fills it in three stages, the full one in all.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FULL = bool(os.environ.get("AIMASS_FULL"))
SHORT = ("ingest", "clean", "validate")
SECONDS = 60
"""A stage that tries again and again takes longer; one takes about three."""


@contextmanager
def full(disk: Path, left: int = 0) -> Iterator[None]:
    """Leave so many bytes on the disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1 << 12))
        except OSError:
            os.truncate(filler, max(0, filler.stat().st_size - left))
    try:
        yield
    finally:
        filler.unlink()


def act(disk: Path, home: Path) -> None:
    """Run a night whose stages meet a full disk while another model is served; print how many ended as they should."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
    from aimass_airflow import call
    from chain import WIRES, Chain, write_small_source
    from searching import run_here
    from serving_platform import make_live, serving

    import pipelines.tuning.search
    from pipelines import settings as settings_module
    from pipelines.backup.backup import backup
    from pipelines.backup.spec import BackupSpec
    from pipelines.errors import BackupError, DiskFullError
    from pipelines.spec import ModelSpec

    pipelines.tuning.search.search = run_here  # type: ignore[assignment]
    settings = settings_module.load(home=shutil.copytree(home, disk / "home"), mlflow_port=1024).ensure()
    model = ModelSpec(name="small", task="binary", target="label", positive="yes", key=("id",))
    source, suite = disk.parent / "small.csv", disk.parent / "suite.json"
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "_y"}, "severity": "critical"}
    suite.write_text(json.dumps({"name": "small", "expectations": [rule], "meta": {}}))
    specs = {
        "ingest": {"source": str(source)},
        "validate": {"suite": str(suite)},
        "tune": {"trials": 2, "families": ["linear"]},
        "evaluate": {"plots": False},
    }
    write_small_source(source)
    night = Chain(settings, model, "manual__1", specs)
    stages = tuple(WIRES) if FULL else tuple(WIRES)[: tuple(WIRES).index(SHORT[-1]) + 1]
    counted, environment = 0, {**os.environ, "AIMASS_HOME": str(settings.home)}
    with serving(settings.home) as platform:
        make_live(platform, 1)

        def predicts() -> None:
            row = {"id": 1, "amount": "101.5", "town": "Bern", "age": 40}
            answer = platform.client.post("/v1/models/demo:predict", json={"instances": [row]})
            assert answer.status_code == 200, answer.text
            assert answer.json()["model_version"] == 1

        for stage in stages:
            if FULL or stage in SHORT:
                request = night.request(stage)
                log = disk.parent / f"{stage}.log"
                with full(disk), log.open("wb") as stream:
                    began = time.monotonic()
                    command = [sys.executable, "-m", "pipelines", stage, str(request)]
                    code = subprocess.run(
                        command, env=environment, stdout=stream, stderr=stream, check=False
                    ).returncode
                    error = call._error(stage, request.parent, code)
                    text = log.read_text()[-3000:]
                    assert code == 1, (stage, code, text)
                    assert isinstance(error, DiskFullError), (stage, error, text)
                    assert "MB free of" in error.seen
                    assert "run the night again" in error.cure
                    assert time.monotonic() - began < SECONDS, stage
                    predicts()
                counted += 1
            if FULL:
                assert night.run(stage) == 0, (stage, night.log(stage)[-3000:])
            else:
                night.run_here(stage)
        with full(disk), pytest.raises(BackupError, match="disk full"):
            backup(settings, BackupSpec(free_share=0))
        backup(settings, BackupSpec(free_share=0))
        (disk.parent / "retrain_small.py").touch()
        aimass = [sys.executable, "-m", "pipelines.cli.main", "run", "small", "--local", "--dags", str(disk.parent)]
        with full(disk):
            done = subprocess.run(aimass, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert done.stderr.rsplit("error: ", 1)[-1].startswith("disk full\n"), done.stderr
        predicts()
        assert platform.ledger.route("demo") == 1
        assert [each.version for each in night.ledger.versions("small")] == ([1] if FULL else [])
        assert night.ledger.verify_history()
        left = [
            path.name for path in settings.staging.iterdir() if not path.name.startswith("search-")
        ]  # journals stay
        assert left == [], left
    print(f"{counted} stages, a backup and a command")


@pytest.mark.fault
@pytest.mark.timeout(900)
def test_a_full_disk_is_one_clear_error_everywhere_and_callers_notice_nothing(
    tmp_path: Path, packaged_home: Path
) -> None:
    (tmp_path / "disk").mkdir()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no mount namespaces for users")
    script = f'mount -t tmpfs -o size=96m none "$1/disk" && exec "{sys.executable}" "{__file__}" "$1/disk" "$2"'
    names = [name for name in os.environ if name.startswith("AIMASS_") and name != "AIMASS_FULL"]
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script, "-", str(tmp_path), str(packaged_home)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == f"{18 if FULL else 3} stages, a backup and a command"


if __name__ == "__main__":
    act(Path(sys.argv[1]), Path(sys.argv[2]))
