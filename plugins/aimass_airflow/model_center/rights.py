"""Who asks, and what they may do: Airflow's users and roles are the accounts.

Each action needs the right that the same thing needs in Airflow: to roll back is to start the DAG `rollback`, to pause
the nights of a model is to edit its DAG. Airflow's security modules are internal; the tests hold them to what is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request

DAG_OF = "retrain_"
NEEDS: dict[str, tuple[str, str, bool]] = {
    "rollback": ("POST", "rollback", True),
    "promote": ("POST", "promote", True),
    "pause": ("POST", "pause", True),
    "resume": ("POST", "pause", True),
    "pause-nights": ("PUT", "", False),
    "resume-nights": ("PUT", "", False),
    "start-night": ("POST", "", True),
    "acknowledge": ("PUT", "", False),
    "silence": ("PUT", "", False),
    "ask": ("POST", "", True),
    "describe": ("PUT", "", False),
    "note": ("POST", "", True),
    "rate": ("POST", "", True),
    "archive": ("PUT", "", False),
    "move": ("PUT", "", False),
    "delete": ("DELETE", "", False),
    "request": ("POST", "", True),
    "decide": ("PUT", "", False),
    "download-table": ("POST", "", True),
}
"""By action: the method, the DAG (empty: the model's), and whether it is about the DAG's runs or the DAG itself."""
OF_PLATFORM = "monitor"
"""The DAG that stands for alerts and published tables of no model."""


class Rights(Protocol):
    """Tells who asks and what they may do."""

    async def user(self, request: Request) -> Any:
        """Return the user of a request; HTTPException 401 if there is none."""

    def name(self, user: Any) -> str:
        """Return a user's name, which the ledger keeps."""

    def visible(self, user: Any, models: Iterable[str]) -> set[str]:
        """Return which of the models a user may see."""

    def may(self, user: Any, action: str, model: str) -> bool:
        """Tell whether a user may do something about a model; ``model`` is empty for what is of none."""

    def may_operate(self, user: Any) -> bool:
        """Tell whether a user may see the page of operations."""


class AirflowRights:
    """The rights of Airflow's auth manager."""

    async def user(self, request: Request) -> Any:
        """Return the user of the session's cookie or of a bearer token."""
        from airflow.api_fastapi.core_api.security import bearer_scheme, get_user

        user = await get_user(request, None, await bearer_scheme(request))
        if user is None:
            raise HTTPException(401, "Not authenticated")
        return user

    def name(self, user: Any) -> str:
        """Return the name by which Airflow knows the user."""
        return str(user.get_name())

    def visible(self, user: Any, models: Iterable[str]) -> set[str]:
        """Return the models whose DAG the user may read."""
        ids = {f"{DAG_OF}{name}" for name in models}
        return {each.removeprefix(DAG_OF) for each in _manager().filter_authorized_dag_ids(dag_ids=ids, user=user)}

    def may(self, user: Any, action: str, model: str) -> bool:
        """Tell whether the user may do the same in Airflow."""
        method, dag_id, runs = NEEDS[action]
        return _allows(user, method, dag_id or (f"{DAG_OF}{model}" if model else OF_PLATFORM), runs)

    def may_operate(self, user: Any) -> bool:
        """Tell whether the user may read the monitor's DAG."""
        return _allows(user, "GET", OF_PLATFORM, runs=False)


def role_of(action: str, model: str) -> str:
    """Return the right that an action needs, in words."""
    method, dag_id, runs = NEEDS[action]
    what = {"POST": "create", "PUT": "edit", "DELETE": "delete"}[method]
    return f"{what} {'runs of ' if runs else ''}the DAG {dag_id or (f'{DAG_OF}{model}' if model else OF_PLATFORM)}"


def _manager() -> Any:
    from airflow.api_fastapi.app import get_auth_manager

    return get_auth_manager()


def _allows(user: Any, method: str, dag_id: str, runs: bool) -> bool:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    entity = DagAccessEntity.RUN if runs else None
    details = DagDetails(id=dag_id)
    return bool(_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user))
