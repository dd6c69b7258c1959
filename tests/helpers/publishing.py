"""Publishes nights as the stages do; many processes run it at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines import settings as settings_module
from pipelines.artifacts import Night
from pipelines.ledger import Ledger, SupersededError
from pipelines.spec import ModelSpec

EACH, NIGHTS = 25, 50
MODEL = ModelSpec(name="demo", task="binary", target="y", positive="yes")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def publish(home: str, ledger_url: str | None, worker: int) -> list[tuple[str, int, str]]:
    """Publish nights as the stages do; return night, fence and outcome of each attempt."""
    settings = settings_module.load(home=home, ledger_url=ledger_url)
    done = []
    with Ledger.open(settings) as ledger:
        for count in range(EACH):
            index = (worker * EACH + 7 * count) % NIGHTS  # several processes are at the same night, again and again
            night = Night(model=MODEL, night=f"night-{index:02}", as_of=FIRST + timedelta(days=index))
            ledger.open_night(night, "local")
            ledger.remember_model(MODEL, [f"by-{worker}"])
            fence = ledger.begin_stage("demo", night.night, "register", {"worker": worker})
            ledger.alert("demo", "drift", f"seen by {worker}", "psi")
            try:
                ledger.reserve("demo", night.night, fence)
                version = ledger.assign_version("demo", night.night, fence)
                ledger.advance(
                    "demo", night.night, fence, state="registered", as_of=night.as_of, model_uri="x", model_digest="y"
                )
                ledger.want("demo", version, "serve", fence)
                ledger.switch("demo", version, fence, "promoted", f"worker {worker}")
                ledger.finish_stage("demo", night.night, "register", fence, state="done", rows=version)
                outcome = "published"
            except SupersededError:
                outcome = "overtaken"
            done.append((night.night, fence, outcome))
            ledger.issue_token(f"token-{index % 3}", ["predict"])
    return done
