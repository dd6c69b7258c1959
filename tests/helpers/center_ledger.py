"""A ledger of many models and nights, as years of use leave it; for the benchmark of the Model Center."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, insert

from pipelines.ledger import Ledger, schema
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

STAGES = ("ingest", "sample", "clean", "validate", "split", "features", "tune", "ensemble", "evaluate", "register")
COLUMNS = 20
WINDOWS = 40
WITH_STAGES = 5
"""Newest nights whose stages are there, with settings, references and scores."""
NOW = datetime(2026, 11, 1, 3, tzinfo=UTC)


def fill(settings: Settings, models: int, nights: int, seed: int = 0) -> Ledger:
    """Write a ledger of ``models`` models with ``nights`` nights each and return it open."""
    ledger = Ledger.open(settings)
    for number in range(models):
        rng = random.Random(seed * 100_003 + number)
        name = f"{rng.choice(('churn', 'demand', 'fraud', 'risk', 'wear'))}_{number:03d}"
        with ledger.transaction() as connection:
            for table, rows in _rows(name, number, nights, rng):
                if rows:
                    connection.execute(insert(table), rows)
    return ledger


def gather(ledger: Ledger, person: str, tables: int = 100, versions: int = 30, seed: int = 0) -> None:
    """Write what people leave of the models in a ledger: roles, requests, favourites, calls, published tables.

    Parameters
    ----------
    person
        Owns the whole installation, likes some models and has seen others.
    tables, versions
        Published tables, and how many versions each has.
    """
    rng = random.Random(seed)
    names = [row.name for row in ledger.models()]
    some = [rng.choice(names) for _ in range(60)]
    people = [f"person-{number}" for number in range(100)]
    today = datetime.now(UTC)
    with ledger.transaction() as connection:
        for table, rows in _gathered(person, people, names, some, today, rng):
            connection.execute(insert(table), rows)
        columns = [{"name": f"c{each}", "type": "double", "missing": 0.01} for each in range(COLUMNS)]
        connection.execute(
            insert(schema.mart_tables),
            [
                {
                    "name": f"table_{number:03d}",
                    "version": version,
                    "uri": f"mart/table_{number:03d}/{version}",
                    "digest": _digest(rng),
                    "rows": rng.randrange(10**6),
                    "bytes": rng.randrange(10**9),
                    "columns": columns,
                    "origin": {"model": names[number % len(names)], "night": "n", "stage": "features"},
                    "description": "What the shops sold, by day.",
                    "actor": rng.choice(people),
                    "created_at": today - timedelta(days=versions - version),
                }
                for number in range(tables)
                for version in range(1, versions + 1)
            ],
        )


def _gathered(
    person: str, people: list[str], names: list[str], some: list[str], today: datetime, rng: random.Random
) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    granted = {"role": "owner", "at": today, "actor": "admin", "why": "a start"}
    yield (
        schema.role_changes,
        [
            {"domain": "*", "person": person, **granted},
            *({"domain": domain, "person": people[0], **granted} for domain in ("sales", "risk", "plant")),
        ],
    )
    yield (
        schema.preferences,
        [
            {"person": person, "model": name, "favourite_at": today if place % 3 == 0 else None, "seen_at": today}
            for place, name in enumerate(dict.fromkeys(some))
        ],
    )
    asked = {"purpose": "scores in the shop", "scopes": ["predict"], "rate": "60/minute", "quota": "1000/month"}
    yield (
        schema.access_requests,
        [
            {
                "at": today,
                "model": rng.choice(names),
                "person": rng.choice(people),
                "days": 90,
                "state": "asked",
                **asked,
            }
            for _ in range(200)
        ],
    )
    yield (
        schema.usage,
        [
            {"token": f"model-center:{each}", "model": name, "day": (today - timedelta(days=day)).date(), **calls}
            for each in people
            for name in rng.sample(names, min(6, len(names)))
            for day in range(90)
            for calls in [{"requests": rng.randrange(1, 500), "errors": 0, "rows": 500}]
        ],
    )


def _rows(name: str, number: int, nights: int, rng: random.Random) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    task = ("binary", "regression", "multiclass")[number % 3]
    fields = {"name": name, "task": task, "target": "y", "key": ("id",), "owner": f"team-{number % 7}"}
    if task == "binary":
        fields["positive"] = "yes"
    spec = ModelSpec.model_validate(fields).model_dump(mode="json")
    metric = {"binary": "roc_auc", "regression": "rmse", "multiclass": "log_loss"}[task]
    level, baseline = rng.uniform(0.7, 0.9), 0.5
    moments = [NOW - timedelta(days=nights - day) for day in range(nights)]
    runs, made, switches, live = [], [], [], None
    for day, moment in enumerate(moments):
        failed = rng.random() < 0.03 or (number % 23 == 5 and day == nights - 1)
        night = f"scheduled__{moment.isoformat()}"
        score = level + 0.02 * math.sin(day / 40) + rng.gauss(0, 0.004)
        score = score if metric == "roc_auc" else 1 - score
        promoted = rng.random() < 0.8
        version = len(made) + 1
        verdict = _verdict(metric, score, baseline, promoted, version, live, rng)
        runs.append(
            {
                "model": name,
                "night": night,
                "as_of": moment,
                "source": "platform",
                "state": "failed" if failed else "success",
                "fence": 18,
                "dag_digest": _digest(rng),
                "params": {"tune__trials": 20},
                "verdict": None if failed else verdict,
                "started_at": moment,
                "finished_at": moment + timedelta(minutes=7),
            }
        )
        if failed:
            continue
        if promoted:
            switches.append((moment, live, version))
            live = version
        made.append(
            {
                "model": name,
                "night": night,
                "version": version,
                "state": "retired" if promoted else "registered",
                "fence": 18,
                "as_of": moment,
                "model_uri": f"models/{name}/{_digest(rng)}",
                "model_digest": _digest(rng),
                "bento_uri": f"{name}:v{version}",
                "mlflow_run": _digest(rng)[:32],
                "verdict": verdict,
                "metric": metric,
                "score": score,
                "baseline": baseline,
                "created_at": moment,
                "live_at": moment if promoted else None,
            }
        )
    for row in made:
        if row["version"] == live:
            row["state"] = "live"
    yield schema.models, [{"name": name, "spec": spec, "identity": None, "created_at": moments[0]}]
    yield from _said(name, number, task, moments)
    yield schema.nights, runs
    yield schema.publications, made
    yield schema.stages, [_stage(name, row, stage, rng) for row in made[-WITH_STAGES:] for stage in STAGES]
    if live is not None:
        yield schema.routes, [{"model": name, "version": live, "updated_at": NOW}]
        served = {"model": name, "version": live, "desired": "serve", "actual": "ready", "address": "unix:/tmp/x"}
        yield (
            schema.serving,
            [{**served, "pid": 1, "detail": "", "fence": 1, "updated_at": NOW, "instances": 2, "until": None}],
        )
    yield (
        schema.history,
        [
            {
                "at": at,
                "model": name,
                "from_version": before,
                "to_version": after,
                "why": f"night of {at:%Y-%m-%d}: 200 golden rows within 0",
                "actor": "deploy",
                "previous_hash": "0" * 64,
                "hash": _digest(rng),
            }
            for at, before, after in switches
        ],
    )
    yield schema.monitor_windows, [_window(name, NOW - timedelta(hours=6 * back), rng) for back in range(WINDOWS)]
    today = datetime.now(UTC).date()
    yield (
        schema.usage,
        [
            {
                "token": f"caller-{token}",
                "model": name,
                "day": today - timedelta(days=day),
                "requests": rng.randrange(10**5),
                "errors": rng.randrange(50),
                "rows": rng.randrange(10**6),
            }
            for token in range(3)
            for day in range(30)
        ],
    )
    yield (
        schema.alerts,
        [
            {
                "model": name,
                "key": f"drift-{each}",
                "kind": "drift",
                "message": "2 of 20 columns shifted over 600 rows",
                "fired_at": NOW - timedelta(days=each + 1),
                "resolved_at": None if not each and number % 5 == 0 else NOW,
                "about": ["c1"],
                "calm": 0,
                "changed_at": None,
            }
            for each in range(5)
        ],
    )
    yield (
        schema.task_usage,
        [
            {
                "model": name,
                "night": row["night"],
                "stage": stage,
                "fence": place,
                "state": "done",
                "ended_at": row["as_of"],
                "seconds": 20.0,
                "cpu_seconds": rng.uniform(1, 60),
                "gpu_seconds": 0.0,
                "peak_memory": 5 * 10**8,
                "bytes_read": 10**6,
                "bytes_written": 10**6,
            }
            for row in made[-60:]
            for place, stage in enumerate(STAGES)
        ],
    )


def _said(name: str, number: int, task: str, moments: list[datetime]) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Yield what people say of a model: two kilobytes of Markdown, tags, notes."""
    text = f"# {task.title()}\n\nWhat **team {number % 7}** predicts from the feed.\n\n" + "- a known fact of it\n" * 80
    fields = {
        "model": name,
        "revision": 1,
        "description": text,
        "domain": ("sales", "risk", "plant")[number % 3],
        "tags": [f"tag{number % 11}", "nightly"],
        "columns": [f"feature{each}" for each in range(COLUMNS)],
        "updated_at": moments[-1],
        "updated_by": "somebody",
    }
    note = {"model": name, "version": None, "actor": "somebody", "text": "seen *and* known"}
    yield schema.catalog, [fields]
    yield schema.catalog_notes, [{**note, "at": moment} for moment in moments[-10:]]


def _verdict(
    metric: str, score: float, baseline: float, promoted: bool, version: int, live: int | None, rng: random.Random
) -> dict[str, Any]:
    what = "Promoted" if promoted else "Kept"
    names = (
        "floor baseline_improvement baseline_lower_bound champion_score improvement lower_bound upper_bound confidence"
    )
    more = "margin detectable anchor_score linear linear_improvement linear_lower_bound model_bytes calibration_error"
    return {
        "verdict": "promoted" if promoted else "kept",
        "sentence": f"{what}: {metric} {score:.6g} against {baseline} on 1200 rows, margin 0.01.",
        "metric": metric,
        "score": score,
        "baseline": baseline,
        "rows": 1200,
        "rows_trained": 9470,
        "reasons": [] if promoted else ["the lower bound of the improvement is below the margin"],
        "champion_version": live,
        "version": version,
        "deployed": promoted,
        **{each: rng.random() for each in f"{names} {more}".split()},
    }


def _stage(name: str, row: dict[str, Any], stage: str, rng: random.Random) -> dict[str, Any]:
    metrics = ("roc_auc", "log_loss", "brier", "accuracy", "f1", "precision", "recall", "mcc", "rmse", "mae", "r2")
    stats: dict[str, Any] = (
        {"scores": {"model": {each: rng.random() for each in metrics}}} if stage == "evaluate" else {}
    )
    spec: dict[str, Any] = {f"setting_{each}": rng.random() for each in range(12)}
    if stage == "ingest":
        spec["source"] = {"kind": "files", "path": f"home:feed/{name}/rows-*.csv"}
        joined = ("customers", "prices", "stores")
        spec["joins"] = [{"name": each, "source": {"kind": "sql", "query": "SELECT * FROM t"}} for each in joined]
    return {
        "model": name,
        "night": row["night"],
        "stage": stage,
        "state": "done",
        "fence": STAGES.index(stage) + 1,
        "attempt": 1,
        "key": _digest(rng),
        "spec": spec,
        "ref": {"uri": f"nights/{name}/x/{stage}", "digest": _digest(rng), "rows": 9000, "stage": stage, "meta": {}},
        "stats": stats,
        "error": None,
        "rows": rng.randrange(9000, 20000),
        "seconds": 20.0,
        "reused": False,
        "started_at": row["as_of"] + timedelta(seconds=20 * STAGES.index(stage)),
        "finished_at": row["as_of"] + timedelta(seconds=20 * STAGES.index(stage) + 20),
        "made_of": {"model": {}, "code": _digest(rng), "environment": _digest(rng)},
    }


def _window(name: str, ended: datetime, rng: random.Random) -> dict[str, Any]:
    columns = {
        f"c{each}": {
            "psi": rng.random() * 0.2,
            "js": 0.01,
            "p": 0.2,
            "effect": 1.0,
            "rows": 600.0,
            "n": 600,
            "bins": [f"{low} to {low + 1}" for low in range(10)],
            "counts": [60] * 10,
            "shares": [0.1] * 10,
            "shows": {},
            "missing": [0.0, 0.0],
        }
        for each in range(COLUMNS)
    }
    drifted = ["c1", "c2"] if rng.random() < 0.2 else []
    figures = {"version": 1, "columns": columns, "verdict": {"drift": drifted, "nulls": [], "unseen": []}}
    return {
        "model": name,
        "kind": "inputs",
        "started_at": ended - timedelta(hours=6),
        "ended_at": ended,
        "rows": 600,
        "figures": figures,
    }


def _digest(rng: random.Random) -> str:
    return hashlib.sha256(rng.randbytes(16)).hexdigest()
