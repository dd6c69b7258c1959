"""Who enters MLflow: programs of this home by its token, people by Airflow's login, nobody else."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import entry_points
from typing import Any

import httpx
import pytest

from pipelines.local import mlflow_server
from pipelines.local.airflow_config import USER, password_file
from pipelines.local.components import components
from pipelines.local.mlflow_app import LoginRequired
from pipelines.registry.tracking import login
from pipelines.settings import Settings

HOST = "http://127.0.0.1:5000"


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """Stand for MLflow: what the login lets pass is answered."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"entered"})


def ask(home: Settings, path: str = "/", **options: Any) -> httpx.Response:
    """Call the application once."""

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app=LoginRequired(behind, home))  # type: ignore[arg-type]  # dicts are mappings
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            return await client.get(path, **options)

    return asyncio.run(call())


def people(home: Settings) -> tuple[str, str]:
    return USER, json.loads(password_file(home).read_text())[USER]


@pytest.mark.parametrize("path", ["/", "/version", "/health/", "/healthz", "/api/2.0/mlflow/registered-models/alias"])
def test_without_a_login_nothing_but_health_is_answered(home: Settings, path: str) -> None:
    response = ask(home, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic ")
    assert response.json()["error_code"] == "UNAUTHENTICATED"
    assert str(home.home) in response.json()["message"], "a home that meets another one's server reads whose it is"
    assert ask(home, "/health").text == "entered"


def test_programs_enter_by_the_token_and_people_by_airflows_login(home: Settings) -> None:
    user, token = login(home)
    assert ask(home, auth=(user, token)).status_code == 200
    assert ask(home, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert ask(home, auth=people(home)).status_code == 200
    texts = [path for path in home.secrets.iterdir() if path.stat().st_mode & 0o077]
    assert not texts


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic",
        "Basic !!",
        "Basic eA==",
        "Basic /w==",
        "Basic OnRva2Vu",
        "Digest x",
        "Basic YWltYXNzOg==",
    ],
)
def test_what_is_no_login_is_refused(home: Settings, header: str) -> None:
    assert ask(home, headers={"Authorization": header}).status_code == 401


def test_of_further_users_only_admins_enter_mlflow_which_has_no_roles(home: Settings) -> None:
    more = home.model_copy(update={"airflow_users": "ada:viewer,bob:op,eve:admin"})
    passwords = json.loads(password_file(more).read_text())
    assert set(passwords) == {USER, "ada", "bob", "eve"}
    seen = {name: ask(more, auth=(name, word)).status_code for name, word in passwords.items()}
    assert seen == {USER: 200, "ada": 401, "bob": 401, "eve": 200}
    assert ask(home, auth=("eve", passwords["eve"])).status_code == 401, "no user any more"


def test_the_login_of_another_home_is_refused(home: Settings, tmp_path: Any) -> None:
    other = home.model_copy(update={"home": tmp_path / "other"})
    assert ask(home, auth=login(other)).status_code == 401
    assert ask(home, auth=people(other)).status_code == 401


def test_a_page_of_another_origin_cannot_use_the_browsers_login(home: Settings) -> None:
    def status(origin: str) -> int:
        return ask(home, auth=people(home), headers={"Origin": origin}).status_code

    assert status(HOST) == 200
    assert [status(other) for other in ("http://127.0.0.1:9999", "http://localhost:5000", "null")] == [401] * 3


def test_a_websocket_without_a_login_is_closed(home: Settings) -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def call() -> None:
        await LoginRequired(behind, home)({"type": "websocket", "path": "/x", "headers": []}, None, send)  # type: ignore[arg-type]  # nothing is received

    asyncio.run(call())
    assert said == [{"type": "websocket.close", "code": 1008}]


def test_the_platform_starts_mlflow_with_it(home: Settings) -> None:
    (part,) = [part for part in components(home) if part.name == "mlflow"]
    assert "pipelines.local.mlflow_server" in part.command
    started = mlflow_server.command(home)
    assert started[3:7] == ["mlflow", "server", "--app-name", "aimass"]
    (entry,) = [each for each in entry_points(group="mlflow.app") if each.name == "aimass"]
    assert entry.value == "pipelines.local.mlflow_app:create_app"
    assert not any(text in " ".join([*part.command, *started]) for text in (login(home)[1], people(home)[1]))
