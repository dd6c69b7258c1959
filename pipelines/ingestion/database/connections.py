"""Named database connections, found in the environment; passwords are never shown."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from pipelines.errors import SpecError

DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
}
"""Airflow's and SQLAlchemy's names of a database → the driver that is installed."""


def find_address(name: str, environ: Mapping[str, str] | None = None) -> URL:
    """Return the address of a connection: Airflow's form (URI or JSON) first, then a variable of that name.

    Raises
    ------
    SpecError
        If there is none, or it is no address; its text is never shown.
    """
    environ = os.environ if environ is None else environ
    names = (f"AIRFLOW_CONN_{name.upper()}", name, name.upper())
    found = next((each for each in names if environ.get(each)), None)
    if found is None:
        raise SpecError(
            "a connection is not known",
            where=f"connection {name!r}",
            seen="no such Airflow connection and no such variable",
            expected=f"an Airflow connection {name!r}, or a variable {names[0]} or {name} with a SQLAlchemy URL",
            cure=f"airflow connections add {name} …, or set the variable where the night runs",
        )
    text = environ[found].strip()
    try:
        return _from_json(json.loads(text)) if text.startswith("{") else _from_text(text)
    except (ArgumentError, ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(
            "a connection holds no address",
            where=f"connection {name!r} ({found})",
            seen="a text that cannot be read as one",
            expected="driver://user:password@host:port/database, or Airflow's JSON of a connection",
            cure="correct the connection; quote special characters of the password (%40 for @)",
        ) from None


def scrubbed(text: str, address: URL) -> str:
    """Return a text without the password."""
    password = str(address.password or "")
    for secret in {password, quote(password), quote(password, safe="")} - {""}:
        text = text.replace(secret, "***")
    return text


def _from_text(text: str) -> URL:
    address = make_url(text)
    if address.drivername == "sqlite" and address.host:  # Airflow writes the path as a quoted host
        address = URL.create("sqlite", database=unquote(address.host), query=address.query)
    return _with_driver(address)


def _from_json(facts: dict[str, Any]) -> URL:
    extra = facts.get("extra") or {}
    extra = json.loads(extra) if isinstance(extra, str) else extra
    kind = str(facts["conn_type"]).replace("-", "_")
    text = {name: value for name, value in extra.items() if isinstance(value, str)}
    host, database = facts.get("host") or None, facts.get("schema") or None
    if kind == "sqlite":
        host, database = None, host or database
    port = facts.get("port")
    return _with_driver(
        URL.create(
            kind,
            username=facts.get("login") or None,
            password=facts.get("password") or None,
            host=host,
            port=int(port) if port else None,
            database=database,
            query=text if kind != "sqlite" else {},
        )
    )


def _with_driver(address: URL) -> URL:
    return address.set(drivername=DRIVERS.get(address.drivername, address.drivername))
