"""What a version needs, and who needs its model: sources, packages; other models, published tables, callers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.lineage import sources_of
from aimass_airflow.model_center.visits import Visit
from pipelines.ledger.rows import VersionRow
from pipelines.settings import Settings

DAYS = 30
"""Days whose callers count."""


def show(visit: Visit) -> Response:
    """``GET /models/NAME/parts/dependencies?version=N``: loaded by itself below the picture of the lineage."""
    ledger, name = visit.ledger, visit.model.name
    row = ledger.version(name, visit.number("version"))
    if row is None:
        raise HTTPException(404, "no such version")
    ingest = next((each for each in ledger.stages(name, row.night) if each.stage == "ingest"), None)
    read = ((ingest.stats or {}).get("mart") or {}) if ingest else {}
    python, packages = packages_of(visit.settings, row)
    callers = ledger.usage_of(name, (datetime.now(UTC) - timedelta(days=DAYS)).date())
    return visit.page(
        "parts/dependencies.html.jinja",
        row=row,
        sources=[_source(how, source) for how, source in sources_of((ingest.spec if ingest else None) or {}, read)],
        python=python,
        packages=packages,
        related=_related(visit, name),
        tables=_tables(visit, name),
        callers=[token for token, *_ in callers],
        days=DAYS,
    )


def packages_of(settings: Settings, row: VersionRow) -> tuple[str | None, list[str]]:
    """Return the Python version and the packages that a version's bento names; nothing where there is no bento."""
    import yaml  # type: ignore[import-untyped]  # its types are a package of their own

    if not row.bento_uri:
        return None, []
    path = settings.bentoml_home / "bentos" / row.bento_uri.replace(":", "/") / "src" / "bentofile.yaml"
    try:
        facts: dict[str, Any] = yaml.safe_load(path.read_bytes())
        return str(facts["docker"]["python_version"]), [str(each) for each in facts["python"]["packages"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError):  # removed by housekeeping, or on another host
        return None, []


def _source(how: str, source: dict[str, Any]) -> dict[str, str]:
    """Return what is read, how it is joined, and by which connection."""
    where = str(source.get("path") or source.get("query") or source.get("kind") or "")
    published = where.removeprefix("mart:").partition("@")[0] if where.startswith("mart:") else ""
    return {"how": how, "where": where, "published": published, "connection": str(source.get("connection") or "")}


def _related(visit: Visit, name: str) -> list[str]:
    """Return the models that this one's entry names, or that name it."""
    rows = visit.ledger.catalog_rows(texts=False)
    named = set((rows[name].related if name in rows else None) or ())
    naming = {other for other, row in rows.items() if name in (row.related or ())}
    return sorted(visit.visible((named | naming) - {name}))


def _tables(visit: Visit, name: str) -> list[dict[str, Any]]:
    """Return the published tables that are made of the model's nights, and the models whose nights read each."""
    made = [row.name for row in visit.ledger.newest_tables() if row.origin.get("model") == name]
    if not made:
        return []
    readers: dict[str, set[str]] = {table: set() for table in made}
    for (table, _), nights in visit.ledger.mart_readers().items():
        readers.get(table, set()).update(model for model, _ in nights)
    seen = visit.visible({model for models in readers.values() for model in models})
    return [{"name": table, "readers": sorted(models & seen)} for table, models in readers.items()]
