"""A rollback proves what it makes live, by golden rows and by what was logged, and switches or leaves all as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace

import pytest

from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.rollback.stage import run
from pipelines.errors import DeployError, SpecError
from pipelines.gateway.prediction_log import Answered, prediction_log
from pipelines.ledger.older_nights import ALERT as OLDER
from pipelines.storage import resolve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two(packaged: SimpleNamespace, tiny: ModuleType) -> SimpleNamespace:
    """Versions 1 and 2, both once live; 2 is."""
    night = packaged.night_of("night-2", day=2)
    folder = packaged.root / "second"
    folder.mkdir()
    done = tiny.take_to_bento(folder, packaged.settings, night, 2)
    assert done["register"].ref.meta["version"] == 2
    packaged.ledger.switch("demo", 1, 0, "first", "test")
    packaged.ledger.switch("demo", 2, 0, "second", "test")
    return packaged


@pytest.fixture
def live_again(two: SimpleNamespace) -> Iterator[None]:
    yield
    shutil.rmtree(two.settings.storage / "predictions", ignore_errors=True)
    two.ledger.switch("demo", 2, 0, "second", "test")


def log_what_it_predicted(two: SimpleNamespace, change: float = 0.0) -> int:
    """Write the golden rows of version 1 into the prediction log, as answered then."""
    golden = json.loads((resolve(two.settings, two.ledger.version("demo", 1).model_uri) / "golden.json").read_text())
    rows, predicted = golden["rows"][:50], golden["answers"][:50]
    log = prediction_log(two.settings.storage)
    cells = {name: [row[name] for row in rows] for name in rows[0]}
    outputs = {
        "prediction": [each["prediction"] for each in predicted],
        "probability": [each["probability"] + change for each in predicted],
    }
    log.add(Answered("r", datetime.now(UTC), "demo", 1, 200, 1.0, len(rows), cells, outputs))
    log.add(Answered("s", datetime.now(UTC), "demo", 2, 200, 1.0, len(rows), cells, outputs))
    log.add(Answered("t", datetime.now(UTC), "demo", None, 503, 1.0, 0, {}, {}))
    log.flush()
    return len(rows)


@pytest.mark.usefixtures("live_again")
def test_the_version_before_goes_live_with_what_was_logged_repeated(two: SimpleNamespace) -> None:
    logged = log_what_it_predicted(two)
    two.ledger.alert("demo", OLDER, "the live version has a wrong date", OLDER)
    done = run(RollbackSpec(model="demo", why="odd scores", actor="rollback:me"), settings=two.settings).stats
    assert (done["version"], done["from"], done["logged_rows"], done["golden_rows"]) == (1, 2, logged, 200)
    assert done["seconds"] < 10
    assert two.ledger.route("demo") == 1
    assert OLDER not in [alert.key for alert in two.ledger.alerts()]
    last = two.ledger.history("demo")[-1]
    assert (last.from_version, last.to_version, last.why, last.actor) == (2, 1, "odd scores", "rollback:me")
    assert two.ledger.verify_history()
    again = run(RollbackSpec(model="demo", to=1, why="again"), settings=two.settings).stats
    assert again["why"] == "already live"
    retried = run(RollbackSpec(model="demo", why="odd scores"), settings=two.settings).stats
    assert (retried["version"], retried["why"]) == (1, "already live"), "a retry does not go back once more"
    with pytest.raises(SpecError, match="another rollback was made a moment ago"):
        run(RollbackSpec(model="demo", why="me too"), settings=two.settings)


@pytest.mark.usefixtures("live_again")
def test_one_that_predicts_otherwise_than_it_did_is_refused(two: SimpleNamespace) -> None:
    log_what_it_predicted(two, change=0.001)
    with pytest.raises(DeployError, match="predicts otherwise than before"):
        run(RollbackSpec(model="demo", to=1, why="odd scores"), settings=two.settings)
    assert two.ledger.route("demo") == 2


@pytest.mark.usefixtures("live_again", "alias_process")
def test_it_works_with_the_newer_versions_files_gone_and_mlflow_down(two: SimpleNamespace) -> None:
    gone = resolve(two.settings, two.ledger.version("demo", 2).model_uri)
    hidden = shutil.move(gone, gone.with_name("hidden"))
    mlflow = shutil.move(two.settings.mlflow_dir, two.settings.home / "mlflow-away")
    two.settings.mlflow_dir.write_text("no folder")
    try:
        done = run(RollbackSpec(model="demo", why="its files are gone"), settings=two.settings).stats
        assert (done["version"], two.ledger.route("demo")) == (1, 1)
        assert done["seconds"] < 10
    finally:
        two.settings.mlflow_dir.unlink()
        shutil.move(mlflow, two.settings.mlflow_dir)
        shutil.move(hidden, gone)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"why": "x"}, "needs a model and a reason"),
        ({"model": "demo"}, "needs a model and a reason"),
        ({"model": "demo", "why": " "}, "needs a model and a reason"),
        ({"model": "other", "why": "x"}, "no such model has a version"),
        ({"model": "demo", "why": "x", "to": 9}, "no such version"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(two: SimpleNamespace, fields: dict[str, object], what: str) -> None:
    with pytest.raises(SpecError, match=what):
        run(RollbackSpec(**fields), settings=two.settings)  # type: ignore[arg-type]  # wrong on purpose


def test_a_changed_bento_is_not_served(two: SimpleNamespace) -> None:
    (folder,) = two.settings.bentoml_home.glob("bentos/demo/v1-*")
    path = folder / "src" / "model" / "model.json"
    text = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(text.replace(b'"', b"'", 1))
    try:
        with pytest.raises(DeployError):
            run(RollbackSpec(model="demo", to=1, why="x"), settings=two.settings)
    finally:
        path.write_bytes(text)
    assert two.ledger.route("demo") == 2
