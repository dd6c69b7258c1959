"""The three commands of a newcomer on the adult data: no header, blanks before values, `?` for missing."""

from __future__ import annotations

import csv
import gzip
import json
import os

import here
import pytest
from adult import COLUMNS
from sklearn.metrics import roc_auc_score

from pipelines import settings as settings_module
from pipelines.deployment.serve import private_service
from pipelines.gateway.private import private_gateway

ROWS = 200


def aimass(project, *words):
    done = here.aimass(*words, folder=project, AIMASS_HOME=str(project / ".aimass"))
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def read(path):
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as stream:
        return [row for row in csv.reader(stream) if row]


@pytest.fixture(scope="module", autouse=True)
def own_settings():
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AIMASS_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory, shared_data):
    folder = tmp_path_factory.mktemp("adult")
    (folder / "dags").mkdir()
    said = aimass(
        folder,
        "init",
        "adult",
        "--source",
        str(shared_data / "adult" / "adult-train.csv.gz"),
        "--no-header",
        "--columns",
        ",".join(COLUMNS),
        "--target",
        "income",
        "--positive",
        ">50K",
    )
    assert "binary" in said
    aimass(
        folder,
        "run",
        "adult",
        "--local",
        "--trials",
        "2",
        "--param",
        'tune__families=["lightgbm", "linear"]',
        "--param",
        "evaluate__plots=false",
    )
    aimass(
        folder,
        "predict",
        "adult",
        "--input",
        str(shared_data / "adult" / "adult-test.csv.gz"),
        "--output",
        "predictions.csv",
    )
    return folder


@pytest.mark.real_data
@pytest.mark.timeout(500)
def test_the_official_test_file_is_predicted_well(project, shared_data):
    rows, predictions = read(shared_data / "adult" / "adult-test.csv.gz"), read(project / "predictions.csv")
    assert predictions[0] == ["prediction", "probability"]
    assert len(predictions) - 1 == len(rows) == 16_281
    truth = [row[-1].strip().startswith(">50K") for row in rows]
    assert roc_auc_score(truth, [float(probability) for _, probability in predictions[1:]]) >= 0.925


@pytest.mark.real_data
def test_show_tells_what_is_live_and_how_good(project):
    facts = json.loads(aimass(project, "show", "adult", "--json"))
    assert facts["champion_version"] == 1
    assert facts["verdict"] == "promoted"
    assert facts["sealed_score"] > 0.92 > facts["baseline_score"] == 0.5
    assert abs(facts["rows_trained"] / 32_561 - 0.9) < 0.01, "a tenth is sealed"
    assert len(facts["stage_seconds"]) == 18


@pytest.mark.real_data
def test_raw_rows_over_http_equal_the_batch(project, shared_data, monkeypatch):
    monkeypatch.setenv("AIMASS_HOME", str(project / ".aimass"))
    rows = read(shared_data / "adult" / "adult-test.csv.gz")[:ROWS]
    assert any(cell.strip() == "?" for row in rows for cell in row), "dirty tokens are part of it"
    names = COLUMNS[:-1]
    instances = [dict(zip(names, row, strict=False)) for row in rows]
    batch = [float(probability) for _, probability in read(project / "predictions.csv")[1 : ROWS + 1]]
    settings, url = settings_module.load(), "/v1/models/adult:predict"
    with private_service(settings, "adult", 1, 60) as address, private_gateway(settings, "adult", 1, address) as client:
        together = client.post(url, json={"instances": instances}).json()
        single = [client.post(url, json={"instances": [row]}).json()["predictions"][0] for row in instances]
    for predictions in (together["predictions"], single):
        assert max(abs(a["probability"] - b) for a, b in zip(predictions, batch, strict=True)) <= 1e-9
