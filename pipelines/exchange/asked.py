"""Import, export and evaluation for a person at the API or the page: the verb in a process of its own.

One of a kind works at a time in a home; another one is refused meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_json
from pipelines.child_environment import as_environment
from pipelines.errors import AimassError, DataError, SpecError, from_dict
from pipelines.exchange.archive import is_archive
from pipelines.exchange.upload import Upload
from pipelines.locks import try_lock
from pipelines.settings import Settings
from pipelines.spec import NAME

SECONDS, GRACE_SECONDS = 900, 30
"""How long a verb may take, and how long it may clean up then."""
LARGEST_IMPORT, LARGEST_TABLE = 2_000_000_000, 200_000_000
"""Bytes that are taken over HTTP."""
PARTS = {"file": True, "schema": True, "samples": True, "task": False, "tolerance": False, "trust_key": False}
"""Parts of the form of an import: whether each is a file."""
ENDINGS = {"archive": "aimass.zip", "onnx": "onnx"}
GUIDE = "docs/guides/import-and-export.md shows all"
MOST_SLICES = 20
OPTIONS = {f"--{name.replace('_', '-')} ": f"{name}=" for name in ("trust_key",)} | {"--out": "the address"}
"""What the commands call otherwise."""


class BusyError(AimassError):
    """Another one of the kind is under way."""


@contextmanager
def only_one(settings: Settings, verb: str) -> Iterator[None]:
    """Be the only one that does something in this home.

    Raises
    ------
    BusyError
        Another one does.
    """
    held = try_lock(settings.run_dir / f"exchange-{verb}.lock")
    if held is None:
        raise BusyError(f"another {verb} is under way", expected="one at a time", cure="try again in a minute")
    with held:
        yield


def import_upload(settings: Settings, name: str, upload: Upload, work: Path, who: str) -> dict[str, Any]:
    """Make what was uploaded the next version of a model; return ``{model, version, digest, golden_rows, origin}``.

    To be called by :func:`only_one`.

    Raises
    ------
    SpecError, DataError, DeployError
        Something does not fit, or its service answers otherwise; there is no new version.
    """
    if not NAME.fullmatch(name):
        raise SpecError("this is no name of a model", where="NAME", seen=name[:63], expected=NAME.pattern)
    fields, files = dict(upload.fields), {each: str(path) for each, path in upload.files.items()}
    if "file" not in upload.files:
        raise SpecError("there is nothing to import", seen="no file", expected="a model file or an archive", cure=GUIDE)
    archive = is_archive(upload.files["file"])
    wrong = [each for each in ("schema", "samples", "task", "tolerance") if each in fields | files]
    missing = [each for each in ("schema", "samples") if each not in files]
    if archive and wrong:
        raise SpecError("an archive brings its own schema and predictions", where="file", seen=", ".join(wrong))
    if not archive and missing:
        raise SpecError(
            "a model file needs more to be imported",
            where="file",
            seen=f"no {', '.join(missing)}",
            expected="what callers send, and rows with the predictions expected",
            cure=GUIDE,
        )
    if not archive and "trust_key" in fields:
        raise SpecError("a model file has no key", where="trust_key", expected="an archive of aimass export")
    if "tolerance" in fields:
        fields["tolerance"] = _tolerance(fields["tolerance"])
    asked = {"verb": "import_archive" if archive else "import_model", "name": name, "who": who[:120]}
    return _in_process(settings, work, {**asked, **files, **fields})


def export_file(settings: Settings, name: str, version: int, form: str, work: Path, who: str) -> Path:
    """Write a version as an archive or as ONNX; return the file.

    Raises
    ------
    BusyError, SpecError, DeployError
        Another export is under way, or the version cannot be written in this form.
    """
    out = work / f"{name}-v{version}.{ENDINGS[form]}"
    asked = {"verb": form, "name": name, "version": version, "out": str(out), "who": who[:120]}
    with only_one(settings, "export"):
        _in_process(settings, work, asked)
    return out


def evaluate_table(
    settings: Settings, name: str, version: int, table: str | Path, slices: str, work: Path
) -> dict[str, Any]:
    """Judge a version on a table; return the scores, and the ``page`` in the Model Center.

    Parameters
    ----------
    table
        A file, or the address of a published table.
    slices
        Columns to cut by, with commas between.

    Raises
    ------
    BusyError, SpecError, DataError
        Another evaluation is under way, or the version cannot be judged on the table.
    """
    columns = [each.strip() for each in slices.split(",") if each.strip()]
    if len(columns) > MOST_SLICES:
        raise SpecError(
            "too many columns to cut by", where="slices", seen=len(columns), expected=f"at most {MOST_SLICES}"
        )
    asked = {"verb": "evaluate", "name": name, "version": version, "table": str(table), "slices": columns}
    with only_one(settings, "evaluation"):
        found = _in_process(settings, work, asked)
    page = f"{settings.airflow_url}/model-center/models/{name}/evaluations/{Path(found['page']).name}"
    return {**found, "page": page}


def _tolerance(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise SpecError("this is no tolerance", where="tolerance", seen=text[:60], expected="a number from 0 on")
    return value


def _in_process(settings: Settings, work: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Let a process do what is asked: it leaves ``result.json`` or ``error.json`` in the folder."""
    request = work / "request.json"
    write_json(request, dict(asked))
    environment = {**os.environ, **as_environment(settings), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-P", "-m", "pipelines.exchange", str(request)]
    with (work / "log").open("wb") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            code = child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            _end(child)
            raise DataError("it took too long", expected=f"an end within {SECONDS} s", cure="use the command") from None
    said = request.with_name("result.json" if code == 0 else "error.json")
    if not said.is_file():
        tail = (work / "log").read_text(errors="replace").strip()[-300:]
        raise AimassError("the process that does this failed", seen=f"exit code {code}: {tail}", cure="use the command")
    text = said.read_text()
    for folder in {str(path.parent) for path in work.rglob("*")}:
        text = text.replace(json.dumps(f"{folder}/")[1:-1], "")  # where it lies here tells nobody anything
    if code:
        for old, new in OPTIONS.items():
            text = text.replace(old, new)
        raise from_dict(json.loads(text))
    return dict(json.loads(text))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Interrupt a process, which undoes then what is half done; end it and what it started if it does not."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
