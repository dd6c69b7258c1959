"""The guide from a CSV, a folder of daily files and a PostgreSQL query to a trained model: every command is run.

The first section's commands are those of a shell; its night takes eighteen processes in the full form alone.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from here import aimass

from tests.helpers.postgres import postgres

FULL = bool(os.environ.get("AIMASS_FULL"))
ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "your-data.md"
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands(heading: str) -> list[str]:
    """Return the commands of one section of the guide."""
    section = GUIDE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line for block in BLOCK.findall(section) for line in block.splitlines() if line.strip()]


def test_every_block_belongs_to_a_tested_section() -> None:
    tested = [line for heading in SECTIONS for line in commands(heading)]
    assert tested == [line for block in BLOCK.findall(GUIDE.read_text()) for line in block.splitlines()]
    assert GUIDE.read_text().count("```") == 2 * len(BLOCK.findall(GUIDE.read_text()))


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "tenure": rng.integers(0, 72, rows),
            "plan": rng.choice(["basic", "plus", " pro"], rows),
            "charge": rng.normal(60, 20, rows).round(2).astype(str),
        }
    )
    table.loc[rng.random(rows) < 0.04, "charge"] = "NA"
    score = 1.5 - table["tenure"] / 24 + (table["plan"] == "basic") + rng.normal(0, 0.8, rows)
    return table.assign(hit=np.where(score > 0.6, "yes", "no"))


def write_churn(folder: Path) -> None:
    table = people(900, 0).rename(columns={"hit": "churned"})
    table.insert(0, "customer_id", range(1000, 1900))
    table.iloc[:800].to_csv(folder / "churn.csv", index=False)
    table.iloc[800:].drop(columns="churned").to_csv(folder / "new.csv", index=False)


def write_orders(folder: Path, days: int = 22, per_day: int = 60) -> None:
    """One file a day; the label of an order comes three days later."""
    (folder / "orders").mkdir()
    made: list[pd.DataFrame] = []
    for offset in range(days):
        day = date(2026, 3, 1) + timedelta(days=offset)
        table = people(per_day, 100 + offset).rename(columns={"hit": "returned", "charge": "price"})
        table.insert(0, "order_id", [f"{day:%m%d}-{number:03d}" for number in range(per_day)])
        table.insert(1, "ordered_at", [f"{day} {7 + number % 12:02d}:15:00" for number in range(per_day)])
        made.append(table)
        parts = [table.assign(returned="")] + ([made[offset - 3]] if offset >= 3 else [])
        pd.concat(parts).to_csv(folder / "orders" / f"orders-{day}.csv", index=False)


def fill_shop(url: str) -> None:
    rng = np.random.default_rng(7)
    customers = pd.DataFrame(
        {
            "customer_id": range(200),
            "country": rng.choice(["de", "fr", "pl", None], 200),
            "since": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, 200), unit="D"),
        }
    )
    visits = pd.DataFrame(
        {
            "visit_id": range(900),
            "customer_id": rng.integers(0, 230, 900),
            "started_at": pd.Timestamp("2026-02-01") + pd.to_timedelta(rng.integers(0, 2_000_000, 900), unit="s"),
            "pages": rng.poisson(5, 900),
            "device": rng.choice(["phone", "tablet", "desktop"], 900),
        }
    )
    visits["bought"] = visits["pages"] + 2 * (visits["device"] == "desktop") + rng.normal(0, 1.5, 900) > 6
    engine = sa.create_engine(url)
    customers.to_sql("customers", engine, index=False)
    visits.to_sql("visits", engine, index=False)
    engine.dispose()


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests say nothing here."""
    for name in list(os.environ):
        if name.startswith("AIMASS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def database() -> Iterator[str]:
    """A PostgreSQL of our own, on a socket in a private folder."""
    with postgres() as address:
        yield address


def follow(lines: list[str], folder: Path, also: str = "", shell: bool = False, **replaced: str) -> list[str]:
    """Run commands one after the other, in a shell's environment or in this process; return what each printed.

    Nights draw no plots, which other tests look at, and get what ``also`` says.
    """
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIMASS_HOME": str(folder / ".aimass"),
    }
    outputs = []
    for line in lines:
        name, _, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            environment[name] = replaced.get(name, value)
            continue
        if line.startswith("aimass run"):
            line += f" --param evaluate__plots=false {also}"
        if shell and (FULL or not line.startswith("aimass run")):
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=folder,
                env=os.environ | environment,
                capture_output=True,
                text=True,
                timeout=240,
            )
        else:
            command, *words = shlex.split(line)
            assert command == "aimass"
            done = aimass(*words, folder=folder, **environment)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr[-4000:]}"
        outputs.append(done.stdout)
    return outputs


@pytest.mark.full
def test_from_a_csv(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_churn(tmp_path / "data")
    outputs = follow(commands("From a CSV"), tmp_path, shell=True)
    assert "promoted" in outputs[1]
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert list(predictions["customer_id"]) == list(range(1800, 1900))
    assert predictions["probability"].between(0, 1).all()
    page = re.search(r"\S+\.html", outputs[3])
    assert page is not None, outputs[3]
    assert Path(page[0]).is_file()


def test_from_a_folder_of_daily_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_orders(tmp_path / "data")
    outputs = follow(commands("From a folder of daily files"), tmp_path)
    assert 'file_date="orders-%Y-%m-%d.csv"' in (tmp_path / "dags" / "retrain_returns.py").read_text()
    assert "promoted" in outputs[1]
    assert outputs[2].endswith("live: version 1\n"), outputs[2]
    assert "2220" in outputs[3].replace(",", "").replace("_", ""), outputs[
        3
    ]  # 20 days of 60, 17 of them again with their label
    assert "120" in outputs[4]


def test_from_a_postgresql_query(tmp_path: Path, database: str) -> None:
    fill_shop(database)
    # What is put into service is no other than from a file.
    outputs = follow(
        commands("From a PostgreSQL query"), tmp_path, "--param deploy__stop_before=true", SHOP_DB=database
    )
    assert "promoted" in outputs[1]
    assert "900" in outputs[2]
    written = (tmp_path / "dags" / "retrain_basket.py").read_text()
    assert "postgresql+psycopg" not in written
    assert 'connection="SHOP_DB"' in written


SECTIONS = ("From a CSV", "From a folder of daily files", "From a PostgreSQL query")
