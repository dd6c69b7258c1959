"""The Model Center on a generated ledger, behind Airflow's own auth manager; Airflow's database is left out."""

from __future__ import annotations

import httpx
import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from center import center_of
from center_ledger import fill

ROLES = ("viewer", "user", "op", "admin")


@pytest.fixture(scope="session")
def airflow_users():
    """Tokens by role, as Airflow signs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "AIRFLOW__API_AUTH__JWT_SECRET", "a secret of the tests that is long enough for sha512 signatures ok"
        )
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        patch.setattr("airflow.models.revoked_token.RevokedToken.is_revoked", lambda *_, **__: False)
        manager = create_auth_manager()
        assert isinstance(manager, SimpleAuthManager)
        yield {role: manager.generate_jwt(SimpleAuthManagerUser(username=f"a-{role}", role=role)) for role in ROLES}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A home of three models with 45 nights each."""
    from pipelines import settings as settings_module

    settings = settings_module.load(home=tmp_path_factory.mktemp("center") / "home", mlflow_port=1024).ensure()
    with fill(settings, 3, 45) as ledger:
        yield settings, ledger


@pytest.fixture
def away():
    """A gateway that cannot be reached."""

    def refuse(request):
        raise httpx.ConnectError("nobody listens", request=request)

    return httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(refuse))


@pytest.fixture
def center(filled, airflow_users, away):
    return center_of(*filled, airflow_users, away)


@pytest.fixture
def names(filled):
    return [row.name for row in filled[1].models()]
