"""Database connections that a stage may use: those its spec names, and no others."""

from __future__ import annotations

import os

from pipelines.spec import Spec


def connections_of(spec: Spec) -> dict[str, str]:
    """Return the variables (``AIRFLOW_CONN_<NAME>``) of the connections that a spec names.

    A stage's environment holds nothing of Airflow, and only Airflow can read the connections of its database and its
    secrets backends. A name that Airflow does not know may be that of a variable, which the stage finds by itself.
    """
    found = {}
    for name in getattr(spec, "connections", ()):
        variable = f"AIRFLOW_CONN_{name.upper()}"
        text = os.environ.get(variable) or (None if os.environ.get(name) else _from_airflow(name))
        if text:
            found[variable] = text
    return found


def _from_airflow(name: str) -> str | None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return str(Connection.get(name).as_json())
    except AirflowNotFoundException:
        return None
