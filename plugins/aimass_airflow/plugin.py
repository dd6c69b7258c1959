"""What AI Mass adds to Airflow itself: the Model Center, links, a check of Params at the trigger, one catch-up."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


def _views() -> list[dict[str, Any]]:
    from aimass_airflow.model_center.mount import views
    from pipelines.settings import load

    settings = load()
    return [
        {"name": "MLflow", "href": settings.mlflow_uri, "destination": "nav", "category": "browse"},
        {"name": "Prediction API", "href": f"{settings.gateway_url}/", "destination": "nav", "category": "browse"},
        *views(),
    ]


class AimassPlugin(AirflowPlugin):
    """Registered through the entry point ``airflow.plugins``; the addresses are read when Airflow loads it."""

    name = "aimass"
    listeners: ClassVar[list[Any]] = []

    @classmethod
    def on_load(cls, *args: object, **kwargs: object) -> None:
        """Fill in the Model Center, the links to MLflow and the gateway's page, and watch triggers and schedulers."""
        from aimass_airflow import catch_up
        from aimass_airflow.model_center.mount import apps
        from aimass_airflow.trigger import watch

        cls.external_views = _views()
        cls.fastapi_apps = apps()
        cls.listeners = [catch_up]
        watch()
