"""A small client of the running Airflow: trigger a night and follow it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from pipelines.errors import AimassError, SpecError
from pipelines.ledger import Ledger
from pipelines.local.airflow_config import USER, password_file
from pipelines.local.progress import Transition
from pipelines.settings import Settings
from pipelines.waiting import wait_until

ENDED = ("success", "failed")
KNOWN_WITHIN = 60.0
SECONDS_TRIED = 30
POLL_SECONDS = 0.5
AWAY_SECONDS = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """One run of a model's DAG."""

    model: str
    dag_id: str
    run_id: str
    as_of: datetime | None


class Airflow:
    """A client of the running Airflow's REST API; its token is renewed when it expires."""

    def __init__(self, settings: Settings, client: httpx.Client | None = None) -> None:
        self.settings = settings
        self._client = client or httpx.Client(
            base_url=settings.airflow_url, timeout=20.0, trust_env=False, verify=settings.trusted
        )
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def wait_for_dag(self, dag_id: str, within: float = KNOWN_WITHIN) -> None:
        """Wait until Airflow has read the DAG, and unpause it.

        Raises
        ------
        SpecError
            If the DAG file cannot be imported, or Airflow does not know the DAG in time.
        """
        errors: list[str] = []

        def known() -> httpx.Response | None:
            response = self._call("GET", f"/api/v2/dags/{dag_id}")
            if response.status_code != 200:
                errors.extend(self.import_errors(dag_id))
            return response if response.status_code == 200 or errors else None

        response = wait_until(known, seconds=within, every=POLL_SECONDS)
        if response is None or errors:
            raise SpecError(
                "the DAG file cannot be imported" if errors else f"Airflow does not know the DAG {dag_id}",
                where=f"{self.settings.dags / dag_id}.py",
                seen=errors[0].strip().splitlines()[-1] if errors else f"nothing after {within:.0f} s",
                expected=f"a file that defines {dag_id}",
                cure="correct the file" if errors else "aimass models lists what there is; aimass init makes one",
            )
        if response.json().get("is_paused"):
            self._checked(self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False}))

    def import_errors(self, dag_id: str) -> list[str]:
        """Return the import errors of the DAG's file."""
        response = self._call("GET", "/api/v2/importErrors", params={"limit": 100})
        if response.status_code != 200:
            return []
        return [
            item["stack_trace"]
            for item in response.json()["import_errors"]
            if item["filename"].rsplit("/", 1)[-1] == f"{dag_id}.py"
        ]

    def trigger(
        self, model: str, at: datetime | None = None, conf: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> Run:
        """Start a night now.

        Airflow has one run per DAG and logical date; if there is one at this very second, the next free second of
        the following half minute is taken, which changes no night's data: as-of dates are compared by day.

        Parameters
        ----------
        run_id
            Name of the night; default: Airflow's own, by the clock.

        Raises
        ------
        SpecError
            If Airflow refuses the Params.
        """
        dag_id = f"retrain_{model}"
        when = (at or datetime.now(UTC)).astimezone(UTC)
        for bump in range(SECONDS_TRIED):
            moment = when + timedelta(seconds=bump)
            response = self._call(
                "POST",
                f"/api/v2/dags/{dag_id}/dagRuns",
                json={
                    "logical_date": moment.isoformat(),
                    "conf": dict(conf or {}),
                    **({} if run_id is None else {"dag_run_id": run_id}),
                },
            )
            if response.status_code == 409:
                continue
            if response.status_code in (400, 422):
                raise SpecError(
                    "Airflow refuses the settings of the run",
                    where=dag_id,
                    seen=_detail(response),
                    cure="correct the --param that it names",
                )
            return Run(model, dag_id, self._checked(response).json()["dag_run_id"], moment)
        raise _all_taken(dag_id, when)

    def run_at(self, model: str, at: datetime, conf: Mapping[str, Any]) -> Run:
        """Run the night of a date: the one that Airflow has is cleared, else one is triggered, named after its date.

        A cleared run keeps its Params. One that ended and has others is left alone, and the next second is taken.

        Raises
        ------
        SpecError
            If Airflow refuses the Params.
        AimassError
            If there are runs with other Params at all these seconds.
        """
        runs = f"/api/v2/dags/retrain_{model}/dagRuns"
        for bump in range(SECONDS_TRIED):
            when = at.astimezone(UTC) + timedelta(seconds=bump)
            of_date = {"logical_date_gte": when.isoformat(), "logical_date_lte": when.isoformat()}
            found = self._checked(self._call("GET", runs, params=of_date)).json()["dag_runs"]
            if not found:
                return self.trigger(model, when, conf, run_id=f"manual__{when.isoformat()}")
            run = Run(model, f"retrain_{model}", str(found[0]["dag_run_id"]), when)
            if found[0]["state"] not in ENDED:
                return run
            if dict(conf).items() <= dict(found[0].get("conf") or {}).items():
                what = {"dry_run": False, "only_failed": False}
                self._checked(self._call("POST", f"{runs}/{run.run_id}/clear", json=what))
                return run
        raise _all_taken(f"retrain_{model}", at)

    def start(
        self, dag_id: str, at: datetime | None = None, params: Mapping[str, Any] | None = None, say: Say | None = None
    ) -> str:
        """Wait for the DAG, start a night and return its run id."""
        self.wait_for_dag(dag_id)
        run = self.trigger(dag_id.removeprefix("retrain_"), at, params)
        if say is not None:
            say(f"{dag_id} {run.run_id}: {self.settings.airflow_url}/dags/{dag_id}/runs/{run.run_id}")
        return run.run_id

    def states(
        self, dag_id: str, run_id: str, every: float = POLL_SECONDS, away: float = AWAY_SECONDS
    ) -> Iterator[str]:
        """Yield the state of a run repeatedly until it has ended.

        An Airflow that does not respond is waited for up to ``away`` seconds: its supervisor brings it back.
        """
        run = Run(dag_id.removeprefix("retrain_"), dag_id, run_id, None)
        gone_since: float | None = None
        while True:
            try:
                state = self.state(run)
                gone_since = None
            except (httpx.TransportError, AimassError):
                gone_since = gone_since or time.monotonic()
                if time.monotonic() - gone_since > away:
                    raise
                time.sleep(1.0)
                continue
            yield state
            if state in ENDED:
                return
            time.sleep(every)

    def state(self, run: Run) -> str:
        """Return the state of a run: queued, running, success or failed."""
        response = self._call("GET", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}")
        return str(self._checked(response).json()["state"])

    def tasks(self, run: Run) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        response = self._call(
            "GET", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", params={"limit": 100}
        )
        return list(self._checked(response).json()["task_instances"])

    def waiting_tasks(self) -> list[dict[str, Any]]:
        """Return the task instances of all runs that wait for their turn, at most 100."""
        response = self._call(
            "GET",
            "/api/v2/dags/~/dagRuns/~/taskInstances",
            params={"state": ["scheduled", "queued"], "limit": 100, "order_by": "start_date"},
        )
        return list(self._checked(response).json()["task_instances"])

    def follow(self, run: Run, ledger: Ledger, every: float = POLL_SECONDS) -> Iterator[Transition]:
        """Yield each change of a stage until the run ends, also of skipped stages, which the ledger does not know."""
        seen: dict[str, tuple[str, int]] = {}
        for _ in self.states(run.dag_id, run.run_id, every):
            for task in sorted(self.tasks(run), key=lambda item: item.get("start_date") or "9"):
                stage, state = task["task_id"].rsplit(".", 1)[-1], task["state"] or "none"
                now = (state, int(task.get("try_number") or 0))
                if state == "none" or seen.get(stage) == now:
                    continue
                seen[stage] = now
                yield _transition(ledger, run, stage, state, task)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        for _ in range(2):
            if not self._token:
                self._token = self._login()
            headers = {"Authorization": f"Bearer {self._token}"}
            response = self._client.request(method, path, headers=headers, **options)
            if response.status_code != 401:
                break
            self._token = ""
        return response

    def _login(self) -> str:
        password = json.loads(password_file(self.settings).read_text())[USER]
        try:
            response = self._client.post("/auth/token", json={"username": USER, "password": password})
        except httpx.ConnectError:
            raise AimassError(
                "Airflow does not respond",
                where=self.settings.airflow_url,
                expected="the running platform",
                cure="start it: aimass up (or run without it: --local)",
            ) from None
        return str(self._checked(response).json()["access_token"])

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        raise AimassError(
            "Airflow refuses a request",
            where=f"{response.request.method} {response.request.url.path}",
            seen=f"{response.status_code} {_detail(response)}",
        )


def _transition(ledger: Ledger, run: Run, stage: str, state: str, task: Mapping[str, Any]) -> Transition:
    row = next((row for row in ledger.stages(run.model, run.run_id) if row.stage == stage), None)
    tries = int(task.get("try_number") or 1)
    if state in ("success", "failed") and row is not None and row.seconds is not None:
        return Transition(stage, state, float(row.seconds), row.rows, bool(row.reused), tries)
    return Transition(stage, state, task.get("duration"), None, False, tries)


def _all_taken(dag_id: str, when: datetime) -> AimassError:
    return AimassError(
        "there are runs at this date already", where=dag_id, seen=when.isoformat(), cure="give another date"
    )


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json().get("detail", response.text)
    except ValueError:
        detail = response.text
    return str(detail)[:500]
