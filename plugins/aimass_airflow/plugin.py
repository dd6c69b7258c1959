"""What AI Mass adds to Airflow itself: links to the pages that show a night's results."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


def _views() -> list[dict[str, str]]:
    from pipelines.settings import load

    settings = load()
    return [
        {"name": "MLflow", "href": settings.mlflow_uri, "destination": "nav", "category": "browse"},
        {"name": "Prediction API", "href": f"{settings.gateway_url}/", "destination": "nav", "category": "browse"},
    ]


class AimassPlugin(AirflowPlugin):
    """Registered through the entry point ``airflow.plugins``; the addresses are read when Airflow loads it."""

    name = "aimass"

    @classmethod
    def on_load(cls, *args: object, **kwargs: object) -> None:
        """Fill in the links: MLflow with every version, and the gateway's page."""
        cls.external_views = _views()
