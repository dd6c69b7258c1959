"""How Airflow finds the Model Center: an application under a prefix, made at its first request, and two entries."""

from __future__ import annotations

import asyncio
from typing import Any

PREFIX = "/model-center"


class Mounted:
    """The application; Airflow loads plugins in every process, and only one of them serves pages."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if self._app is None:
            async with self._lock:
                if self._app is None:
                    self._app = await asyncio.to_thread(_make)
        await self._app(scope, receive, send)


def _make() -> Any:
    from aimass_airflow.model_center.airflow_side import AirflowSide
    from aimass_airflow.model_center.app import create_app
    from aimass_airflow.model_center.rights import AirflowRights
    from pipelines.ledger import Ledger
    from pipelines.settings import load

    settings = load().ensure()
    return create_app(settings, Ledger.open(settings), AirflowRights(), AirflowSide())


def apps() -> list[dict[str, Any]]:
    """Return the entry for Airflow's ``fastapi_apps``."""
    return [{"app": Mounted(), "url_prefix": PREFIX, "name": "Model Center"}]


def views() -> list[dict[str, Any]]:
    """Return the entries for Airflow's ``external_views``: one in the navigation, one on the page of each DAG."""
    return [
        {
            "name": "Model Center",
            "href": f"{PREFIX}/",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "model-center",
        },
        {
            "name": "Model Center",
            "href": f"{PREFIX}/dag/{{DAG_ID}}",
            "destination": "dag",
            "url_route": "model-center-dag",
        },
    ]
