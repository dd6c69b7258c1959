"""The Model Center on a generated ledger, behind Airflow's own auth manager; Airflow's database is left out."""

from __future__ import annotations

from types import SimpleNamespace

from aimass_airflow.model_center.airflow_side import AirflowSide, Field
from aimass_airflow.model_center.app import create_app
from aimass_airflow.model_center.rights import AirflowRights
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient


class FakeAirflow(AirflowSide):
    """Keeps what is asked of Airflow."""

    def __init__(self):
        self.runs, self.paused, self.ended = [], {}, "success"

    def start(self, dag_id, conf, user):
        self.runs.append((dag_id, dict(conf), user))
        return f"manual__{len(self.runs)}"

    def state(self, dag_id, run_id):
        return self.ended

    def nights_paused(self, dag_id):
        return self.paused.get(dag_id, False)

    def pause_nights(self, dag_id, paused):
        self.paused[dag_id] = paused

    def form(self, dag_id):
        families = {"type": ["null", "array"], "items": {"type": "string", "enum": ["linear", "lightgbm"]}}
        return [
            Field("tune__trials", "Trials", "How many.", {"type": ["null", "integer"]}),
            Field("tune__families", "Families", "Which.", families),
        ]

    def pools(self):
        return {"default_pool": {"total": 4, "running": 1, "queued": 0, "scheduled": 2, "open": 3}}


def center_of(settings, ledger, tokens, client=None):
    """Serve the pages of a home; ``as_(role)`` is a browser of a user, ``as_(None)`` of nobody."""
    airflow = FakeAirflow()
    center = create_app(settings, ledger, AirflowRights(), airflow, client)
    app = Starlette(routes=[Mount("/model-center", center)])

    def as_(role, **headers):
        cookies = {} if role is None else {"_token": tokens[role]}
        base = "http://testserver/model-center"
        return TestClient(app, base_url=base, cookies=cookies, headers=headers, follow_redirects=False)

    return SimpleNamespace(as_=as_, airflow=airflow, ledger=ledger, settings=settings, app=app)
