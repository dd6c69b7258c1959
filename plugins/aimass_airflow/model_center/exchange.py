"""Versions that come and go: import, export, and evaluation on a table that somebody uploads."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from aimass_airflow.model_center.data_page import readable, to_read
from aimass_airflow.model_center.documents import POLICY
from aimass_airflow.model_center.model_page import frame
from aimass_airflow.model_center.rights import role_of
from aimass_airflow.model_center.visits import Reader, Visit
from pipelines.catalog.verbs import MissingError
from pipelines.errors import DeployError
from pipelines.exchange import EVALUATIONS, FORMATS, asked
from pipelines.exchange.upload import FORM, TooLargeError, receive_form
from pipelines.people.domains import EVERYWHERE
from pipelines.people.roles import ROLES
from pipelines.spec import NAME

TABLE = {"table": True, "published": False, "slices": False}
IMPORT = {**asked.PARTS, "model": False}
"""Parts of each form: whether it is a file."""
OWNER = ROLES[-1]
_PAGE = re.compile(r"v[0-9]{1,9}-[0-9a-f]{12}\.html")


def form(allowed: Callable[[Visit], None], known: Mapping[str, bool], most: int) -> Reader:
    """Return what reads a form with files: ``{"upload", "work"}``, whose folder the handler removes.

    A form of another site can send this type, but not the header that htmx sends with it.

    Parameters
    ----------
    allowed
        Refuses who may not, before anything is read.
    """

    async def read(visit: Visit) -> dict[str, Any]:
        from pipelines.storage import stage_folder

        headers = visit.request.headers
        if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM or not visit.part:
            raise HTTPException(415, f"files are sent by the page, as {FORM} with the header HX-Request")
        await run_in_threadpool(allowed, visit)
        work = await run_in_threadpool(stage_folder, visit.settings, "upload")
        try:
            return {"upload": await receive_form(visit.request, work, most, known), "work": work}
        except BaseException as error:
            await run_in_threadpool(shutil.rmtree, work, ignore_errors=True)
            if isinstance(error, TooLargeError):
                raise HTTPException(413, f"{error.what}: {error.expected}") from None
            raise

    return read


def may_evaluate(visit: Visit) -> None:
    """Refuse who may not."""
    visit.need("evaluate")


def evaluation_form(visit: Visit) -> Response:
    """``GET /models/NAME/parts/evaluate?version=N``: the form for the table, and what was judged before."""
    visit.need("evaluate")
    name, version = visit.model.name, _version(visit)
    folder = _folder(visit)
    pages = [path for path in folder.glob(f"v{version}-*.html") if _PAGE.fullmatch(path.name)]
    newest = sorted(pages, key=lambda path: path.stat().st_mtime, reverse=True)[:10]
    facts = {"name": name, "version": version, "pages": newest, "tables": readable(visit)}
    return visit.page("parts/evaluate.html.jinja", **frame(visit, "versions"), **facts)


def evaluate(visit: Visit) -> Response:
    """``POST /models/NAME/versions/V/evaluate`` with a table: its metrics, and where the page is."""
    upload, work = visit.body["upload"], Path(visit.body["work"])
    try:
        name, version = visit.model.name, _version(visit)
        file, published = upload.files.get("table"), upload.fields.get("published", "")
        if (file is None) == (not published):
            raise HTTPException(422, "choose a CSV, Parquet or JSON file with the target, or one published table")
        table = file or to_read(visit, published).address
        given = name, version, table, upload.fields.get("slices", ""), work
        found = _asked(lambda: asked.evaluate_table(visit.settings, *given))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    page = found["page"].rsplit("/", 1)[-1]
    return visit.page("parts/evaluated.html.jinja", model=visit.model, found=found, page=page)


def evaluation(visit: Visit) -> Response:
    """``GET /models/NAME/evaluations/FILE``: the page of an evaluation."""
    path = _folder(visit) / visit.path("file")
    if not _PAGE.fullmatch(path.name) or not path.is_file():
        raise HTTPException(404, "no such evaluation")
    return FileResponse(path, media_type="text/html", headers=POLICY)


def export(visit: Visit) -> Response:
    """``GET /models/NAME/versions/V/export?format=archive``: the file."""
    from pipelines.storage import stage_folder

    visit.need("export")
    kind = visit.request.query_params.get("format", "archive")
    if kind not in FORMATS:
        raise HTTPException(404, f"no such format: there are {', '.join(FORMATS)}")
    name, version = visit.model.name, _version(visit)
    work = stage_folder(visit.settings, "download")
    try:
        path = _asked(lambda: asked.export_file(visit.settings, name, version, kind, work, visit.who))
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    visit.after.append(lambda: shutil.rmtree(work, ignore_errors=True))
    return FileResponse(path, media_type=FORMATS[kind], filename=path.name)


def may_import(visit: Visit) -> None:
    """Refuse who may import no model at all; the right and role for the model are asked for once its name is known."""
    if not visit.center.rights.may(visit.user, "import", ""):
        raise HTTPException(403, f"you may not import: the right to {role_of('import', '')} is missing")
    if EVERYWHERE in visit.standing.restricted and OWNER not in visit.standing.held.values():
        visit.need("import", "")


def offers_import(visit: Visit) -> bool:
    """Tell whether the page of all models offers it."""
    try:
        may_import(visit)
    except HTTPException:
        return False
    return True


def import_(visit: Visit) -> Response:
    """``POST /import`` with a model file, its schema and samples, or an archive: the new version."""
    upload, work = visit.body["upload"], Path(visit.body["work"])
    try:
        name = upload.fields.pop("model", "")
        if not NAME.fullmatch(name):
            raise HTTPException(422, f"this is no name of a model: small letters, digits and _, not {name[:63]!r}")
        visit.need("import", name)
        if "trust_key" in upload.fields and (role := visit.standing.lacks("import", EVERYWHERE)) is not None:
            raise HTTPException(403, f"to trust a key needs the role {role} of the whole installation")

        def verb() -> dict[str, Any]:
            with asked.only_one(visit.settings, "import"):
                return asked.import_upload(visit.settings, name, upload, work, visit.who)

        found = _asked(verb)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return visit.page("parts/imported.html.jinja", found=found)


def _asked(verb: Callable[[], Any]) -> Any:
    try:
        return verb()
    except asked.BusyError as error:
        raise HTTPException(409, f"{error.what}: {error.cure}") from None
    except MissingError as error:
        raise HTTPException(404, error.what) from None
    except DeployError as error:
        raise HTTPException(422, "; ".join(each for each in (error.what, error.seen, error.cure) if each)) from None


def _version(visit: Visit) -> int:
    version = visit.number("version")
    if visit.ledger.version(visit.model.name, version) is None:
        raise HTTPException(404, "no such version")
    return version


def _folder(visit: Visit) -> Path:
    return visit.settings.docs / EVALUATIONS / str(visit.model.name)
