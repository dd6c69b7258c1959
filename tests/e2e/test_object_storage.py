"""A night with its storage in a bucket is that in a folder; another home on the bucket predicts with its version."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from here import aimass
from moto_store import keys_of

from pipelines import settings as configuration
from pipelines.ledger import Ledger
from tests.e2e.test_guide import write_churn

pytestmark = [
    pytest.mark.full,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("AIMASS_FULL"), reason="several nights: `make faults` runs it"),
]
INIT = (
    "init",
    "churn",
    "--source",
    "data/churn.csv",
    "--target",
    "churned",
    "--positive",
    "yes",
    "--key",
    "customer_id",
)
RUN = ("run", "churn", "--local", "--trials", "2", "--at", "2026-03-21")
PARAMS = ("--param", "evaluate__plots=false", "--param", "deploy__stop_before=true")
PREDICT = ("predict", "churn", "--input", "data/new.csv", "--output", "out.csv", "--version", "1")


def run(folder: Path, *words: str, **environment: str) -> str:
    done = aimass(*words, folder=folder, AIMASS_HOME=str(folder / ".aimass"), **environment)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


def digests(folder: Path) -> dict[str, str]:
    with Ledger.open(configuration.load(home=folder / ".aimass")) as ledger:
        (night,) = ledger.nights("churn")
        return {row.stage: row.ref["digest"] for row in ledger.stages("churn", night.night) if row.ref}


def test_a_bucket_gives_what_a_folder_gives(
    tmp_path: Path, bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AIMASS_")]:
        monkeypatch.delenv(name)
    store = {"AIMASS_STORAGE": f"s3://{bucket}/p", "AIMASS_S3_ENDPOINT": s3_endpoint}
    local, there, other = (tmp_path / name for name in ("local", "there", "other"))
    for folder, variables in ((local, {}), (there, store)):
        (folder / "data").mkdir(parents=True)
        write_churn(folder / "data")
        if folder == there:  # one key signs the models of both
            shutil.copytree(local / ".aimass" / "secrets", there / ".aimass" / "secrets")
            (there / ".aimass").chmod(0o700)
        run(folder, *INIT, "--key", "customer_id", **variables)
        assert "promoted" in run(folder, *RUN, *PARAMS, **variables)
        run(folder, *PREDICT, **variables)
    one, again = digests(local), digests(there)
    same = {stage for stage in one if one[stage] == again[stage]}  # others hold times: of trials, of Data Docs
    assert same >= {"ingest", "sample", "clean", "split", "features", "ensemble"}, (one, again)
    assert keys_of(s3_endpoint, bucket, "p/models/churn/")
    assert not (there / ".aimass" / "storage").exists()
    # another machine: the ledger and the keys, nothing of the storage
    shutil.copytree(there / ".aimass" / "secrets", other / ".aimass" / "secrets")
    for path in (there / ".aimass").glob("ledger.db*"):
        shutil.copy2(path, other / ".aimass")
    shutil.copytree(there / "data", other / "data")
    run(other, *PREDICT, **store)
    assert (local / "out.csv").read_bytes() == (there / "out.csv").read_bytes() == (other / "out.csv").read_bytes()
    fetched = [path for path in (other / ".aimass" / "cache" / "storage" / "nights").rglob("*") if path.is_file()]
    assert fetched == [], "a prediction needs the model alone"
