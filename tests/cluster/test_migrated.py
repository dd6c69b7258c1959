"""Two nights in a home of one machine, a move to PostgreSQL and an object store, and the third night there."""

from __future__ import annotations

import os
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cluster import BUCKET, KEYS, cluster, needs_cluster
from here import aimass

from pipelines import settings as configuration
from pipelines import storage
from pipelines.ledger import Ledger
from pipelines.settings import Settings

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not os.environ.get("AIMASS_FULL"), reason="several nights: `make cluster` runs it"),
    needs_cluster,
    pytest.mark.timeout(600),
]
DAYS = 14
FAST = {"tune__trials": "2", "tune__families": '["lightgbm", "linear"]', "evaluate__plots": "false"}
QUICK = [word for name, value in FAST.items() for word in ("--param", f"{name}={value}")]


def write_day(folder: Path, day: date) -> None:
    """Write the orders of one day."""
    random = np.random.default_rng(day.toordinal())
    table = pd.DataFrame({"order_id": [f"{day:%m%d}-{number:03d}" for number in range(50)]})
    table["ordered_at"] = f"{day} 08:15:00"
    table["tenure"], table["plan"] = random.integers(0, 72, 50), random.choice(["basic", "plus"], 50)
    score = 1.5 - table["tenure"] / 24 + (table["plan"] == "basic") + random.normal(0, 0.8, 50)
    table["returned"] = np.where(score > 0.6, "yes", "no")
    table.to_csv(folder / f"orders-{day}.csv", index=False)


def sealed_of(settings: Settings, night: int) -> dict[str, bool]:
    """Return of each row of a night, by its key, whether it judges."""
    with Ledger.open(settings) as ledger:
        nights = sorted(ledger.nights("returns"), key=lambda row: row.as_of)
        ref = next(row.ref for row in ledger.stages("returns", nights[night].night) if row.stage == "ingest")
    table = storage.read_table(storage.resolve(settings, ref["uri"]) / "raw")
    return dict(zip(table["order_id"].to_pylist(), table["_sealed"].to_pylist(), strict=True))


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests say nothing here."""
    for name in [name for name in os.environ if name.startswith("AIMASS_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def words(day: date) -> list[str]:
    """The command for the night after a day."""
    return ["run", "returns", "--local", "--at", (day + timedelta(days=1)).isoformat(), *QUICK]


def test_the_third_night_goes_on_in_the_new_place(tmp_path: Path) -> None:
    orders = tmp_path / "data" / "orders"
    orders.mkdir(parents=True)
    days = [date(2026, 3, 1) + timedelta(days=number) for number in range(DAYS + 2)]
    for day in days[:DAYS]:
        write_day(orders, day)
    old = {"AIMASS_HOME": str(tmp_path / ".aimass")}
    made = aimass(
        *("init", "returns", "--source", "data/orders", "--target", "returned", "--positive", "yes"),
        *("--key", "order_id", "--time", "ordered_at"),
        folder=tmp_path,
        **old,
    )
    assert made.returncode == 0, made.stderr
    for day in days[DAYS - 1 : DAYS + 1]:
        write_day(orders, day)
        done = aimass(*words(day), folder=tmp_path, **old)
        assert done.returncode == 0, done.stderr[-3000:]

    with cluster(workers=0) as place:
        host = place.control
        new = {
            "AIMASS_HOME": str(host.folder / "new"),
            "AIMASS_LEDGER_URL": place.database("ledger"),
            "AIMASS_MLFLOW_DATABASE": place.database("mlflow"),
            "AIMASS_STORAGE": f"s3://{BUCKET}/moved",
            "AIMASS_S3_ENDPOINT": place.store,
        }
        path = tmp_path / "cluster.env"
        path.write_text("".join(f"{name}={value}\n" for name, value in new.items()))
        moved = aimass("migrate", "--to", str(path), folder=tmp_path, **old)
        assert moved.returncode == 0, moved.stderr
        assert "2 versions verified" in moved.stdout

        settings = configuration.load(
            home=tmp_path / "look",
            ledger_url=new["AIMASS_LEDGER_URL"],
            storage_address=new["AIMASS_STORAGE"],
            s3_endpoint=place.store,
        ).ensure()
        before = sealed_of(settings, 1)
        with Ledger.open(settings) as ledger:
            champion = ledger.champion("returns")
        assert champion is not None
        write_day(orders, days[DAYS + 1])
        for name in ("dags", "data", "expectations"):
            shutil.copytree(tmp_path / name, host.folder / name, dirs_exist_ok=True)
        own = dict.fromkeys(set(place.settings(host)) - set(KEYS), "")  # nothing is known but what the file says
        third = place.aimass(host, *words(days[DAYS + 1]), **own | new)
        assert third.returncode == 0, third.stderr[-3000:] + place.logs()

        with Ledger.open(settings) as ledger:
            assert [row.version for row in ledger.versions("returns")] == [1, 2, 3]
            assert ledger.broken_history() is None
            last = max(ledger.nights("returns"), key=lambda row: row.as_of)
            stages = {row.stage: row for row in ledger.stages("returns", last.night)}
        trials = storage.read_table(storage.resolve(settings, stages["tune"].ref["uri"]) / "trials").to_pylist()
        assert trials[0]["origin"] == "warm", "its search begins with what the second night found"
        judged = stages["evaluate"].made_of["inputs"]
        assert judged["champion"]["digest"] == champion.model_digest, "it is judged against the one that was live"
        after = sealed_of(settings, 2)
        assert len(after) == len(before) + 50, "the history was there"
        trained = {key for key, sealed in before.items() if not sealed}
        assert len(trained) > 500
        assert not any(after[key] for key in trained), "what a version trained on never judges"
        assert sum(after.values()) > 20
        asked = place.aimass(host, "ledger", "verify", **own | new)
        assert asked.returncode == 0, asked.stderr
