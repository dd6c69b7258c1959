"""The application of the Model Center: its addresses, and what lies behind each."""

from __future__ import annotations

from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from aimass_airflow.model_center import (
    about,
    access,
    actions,
    ask,
    ask_rows,
    compare,
    data_page,
    dependencies,
    documents,
    exchange,
    model_page,
    models_page,
    operation,
    operations_page,
    yours,
)
from aimass_airflow.model_center.airflow_side import AirflowSide
from aimass_airflow.model_center.gateway import Gateway
from aimass_airflow.model_center.render import SHARED, STATIC, Pages
from aimass_airflow.model_center.rights import Rights
from aimass_airflow.model_center.visits import Center, Visit, route
from pipelines.exchange.asked import LARGEST_IMPORT, LARGEST_TABLE
from pipelines.ledger import Ledger
from pipelines.settings import Settings

TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain", ".json": "application/json"}
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Addresses of these files hold the digest of their content."""
PAGES = (
    ("/", models_page.show),
    ("/operations", operations_page.show),
    ("/parts/yours", yours.show),
    ("/data", data_page.show),
    ("/data/{name}", data_page.table),
    ("/data/{name}/readers", data_page.readers),
    ("/data/{name}/download", data_page.download),
    ("/parts/backups", operations_page.backups),
    ("/parts/costs", operations_page.costs),
    ("/dag/{dag_id}", model_page.of_dag),
    ("/models/{name}", model_page.overview),
    ("/models/{name}/versions", model_page.versions),
    ("/models/{name}/about", about.show),
    ("/models/{name}/lineage", model_page.lineage),
    ("/models/{name}/ask", ask.form),
    ("/models/{name}/facts", ask_rows.facts),
    ("/models/{name}/call", ask.call),
    ("/models/{name}/operation", operation.show),
    ("/models/{name}/documents", documents.show),
    ("/models/{name}/card", documents.card),
    ("/models/{name}/operation-page", documents.operation),
    ("/models/{name}/files/{path:path}", documents.file),
    ("/models/{name}/versions/{version}/export", exchange.export),
    ("/models/{name}/evaluations/{file}", exchange.evaluation),
    ("/models/{name}/parts/evaluate", exchange.evaluation_form),
    ("/models/{name}/actions/{id}", actions.follow),
    ("/models/{name}/parts/live", operation.live),
    ("/models/{name}/parts/charts", operation.charts),
    ("/models/{name}/parts/cost", operation.cost),
    ("/models/{name}/parts/log", operation.log),
    ("/models/{name}/parts/compare", compare.show),
    ("/models/{name}/parts/why", compare.why),
    ("/models/{name}/parts/gate", model_page.gate),
    ("/models/{name}/parts/delete", about.would_delete),
    ("/models/{name}/parts/dependencies", dependencies.show),
    ("/models/{name}/parts/form", ask.fields),
    ("/models/{name}/parts/calls", ask.calls),
    ("/models/{name}/parts/night", actions.night_form),
)
POSTS = (
    ("/models/{name}/ask", ask.ask),
    ("/models/{name}/favourite", yours.favourite),
    ("/models/{name}/access", access.ask),
    ("/models/{name}/access/{id}", access.decide),
    ("/models/{name}/access/{id}/token", access.draw),
    ("/models/{name}/actions/{action}", actions.act),
    ("/models/{name}/catalog/{action}", about.act),
    ("/alerts/{id}/{action}", actions.alert_action),
)


FORMS = (
    (
        "/models/{name}/versions/{version}/evaluate",
        exchange.evaluate,
        exchange.form(exchange.may_evaluate, exchange.TABLE, LARGEST_TABLE),
    ),
    ("/import", exchange.import_, exchange.form(exchange.may_import, exchange.IMPORT, LARGEST_IMPORT)),
)
"""Posts that bring files."""


def create_app(
    settings: Settings, ledger: Ledger, rights: Rights, airflow: AirflowSide, client: httpx.Client | None = None
) -> Starlette:
    """Make the application.

    Parameters
    ----------
    rights
        Tell who asks and what they may do.
    client
        Of the gateway; None: that of the settings.
    """
    center = Center(settings, ledger, rights, airflow, Gateway(settings, ledger, client), Pages())
    return Starlette(
        routes=[
            *(route(center, path, handler) for path, handler in PAGES),
            *(route(center, path, handler, "POST") for path, handler in POSTS),
            *(route(center, path, handler, "POST", read=read) for path, handler, read in FORMS),
            route(center, "/models/{name}/rows", ask_rows.predict, "POST", ask_rows.MOST_BYTES),
            route(center, "/static/{stamp}/predictions/{file}", _shared),
            route(center, "/static/{stamp}/{path:path}", _static),
        ]
    )


def _shared(visit: Visit) -> Response:
    """``GET /static/DIGEST/predictions/FILE``: scripts of the gateway's page, which predict files here, too."""
    if (name := visit.path("file")) not in SHARED:
        raise HTTPException(404, "no such file")
    return FileResponse(SHARED[name], media_type=TYPES[".js"], headers=FOREVER)


def _static(visit: Visit) -> Response:
    """``GET /static/DIGEST/PATH``: scripts and styles."""
    path = (STATIC / visit.path("path")).resolve()
    if not path.is_relative_to(STATIC.resolve()) or path.suffix not in TYPES or not Path(path).is_file():
        raise HTTPException(404, "no such file")
    return FileResponse(path, media_type=TYPES[path.suffix], headers=FOREVER)
