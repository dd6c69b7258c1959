"""Hosts with one PostgreSQL and no file in common: one migrates at a time, one holds a name at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postgres import postgres

from pipelines import settings as configuration
from pipelines.ledger import Ledger
from pipelines.ledger.connect import now
from pipelines.people import requests, roles
from pipelines.people.domains import domain_of
from pipelines.people.recommend import recommend
from pipelines.settings import Settings


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Address of an empty ledger."""
    with postgres() as found:
        yield found


def host(folder: Path, address: str) -> Settings:
    return configuration.load(home=folder, dags_folder=folder / "dags", ledger_url=address)


def test_hosts_that_start_at_once_migrate_one_after_the_other(address: str, tmp_path: Path) -> None:
    def start(number: int) -> list[str]:
        with Ledger.open(host(tmp_path / f"host{number}", address)) as ledger:
            return ledger.models()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, range(4))) == [[]] * 4


def test_a_name_is_held_by_one_host(address: str, tmp_path: Path) -> None:
    said: list[str] = []
    with Ledger.open(host(tmp_path / "a", address)) as first, Ledger.open(host(tmp_path / "b", address)) as second:

        def wait() -> None:
            with second.alone("nights"):
                said.append("second")

        with first.alone("nights"):
            other = threading.Thread(target=wait)
            other.start()
            with second.alone("another name"):
                said.append("another")
            other.join(0.3)
            said.append("first")
        other.join(10)
    assert said == ["another", "first", "second"]


def test_one_machine_needs_no_such_lock(home: Settings) -> None:
    with Ledger.open(home) as ledger, ledger.alone("nights"), ledger.alone("nights"):
        assert ledger.models() == []


def test_people_are_the_same_on_every_host_and_a_token_is_drawn_on_one(address: str, tmp_path: Path) -> None:
    with Ledger.open(host(tmp_path / "a", address)) as first, Ledger.open(host(tmp_path / "b", address)) as second:
        roles.grant(first, "sales", "ada", "viewer", actor="root", why="x")
        assert roles.standing(second, "ada").role(domain_of(second, "sales_churn")) == "viewer"
        roles.revoke(second, "sales", "ada", actor="root", why="x")
        assert first.roles() == []
        number = requests.ask(first, "sales_churn", "ada", purpose="x", per_minute=1, per_month=1).id
        requests.decide(second, number, "approve", actor="eve", why="x")

        def draw(ledger: Ledger) -> str:
            try:
                return requests.draw(ledger, number, "ada")[1]
            except requests.TooLateError:
                return ""

        with ThreadPoolExecutor(8) as pool:
            (text,) = [found for found in pool.map(draw, [first, second] * 8) if found]
        row = second.check_token(text)
        assert row is not None
        second.count_usage({(row.name, "sales_churn", now().date()): (5, 0, 5)})
        assert second.calls_by_token(now().date()) == [(row.name, "ada", "sales_churn", 5)]
        first.saw("ada", "sales_churn")
        second.saw("ada", "sales_churn")
        second.set_favourite("ada", "sales_churn", True)
        assert [row.favourite_at is not None for row in first.preferences("ada")] == [True]
        assert first.made_of() == []
        assert recommend(first, "ada", ["sales_churn"]) == []
