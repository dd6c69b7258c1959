"""The new place: its settings from a file, and the note in its home of what has arrived."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values
from pydantic import AliasChoices
from sqlalchemy import make_url

from pipelines import settings as configuration
from pipelines.errors import SpecError
from pipelines.settings import Settings
from pipelines.several_hosts import AS_FILE

PREFIX = "AIMASS_"


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Be where the variables of a file are set, and no other one of ours is."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def read_values(path: Path) -> dict[str, str]:
    """Return the variables of a file of lines ``NAME=VALUE``.

    Raises
    ------
    SpecError
        There is no such file, or a line is none; all faults at once.
    """
    try:
        found = dotenv_values(path, interpolate=False) if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("the settings of the new place cannot be read", where=str(path), seen=error) from None
    if not found:
        raise SpecError(
            "the settings of the new place are missing",
            where=str(path),
            seen="no such file" if found is None else "no line NAME=VALUE",
            expected="lines such as AIMASS_HOME=/srv/aimass and AIMASS_LEDGER_URL=postgresql+psycopg://HOST/aimass",
            cure="docs/guides/migrate.md has an example",
        )
    if faults := [f"{name} has no value" for name, value in found.items() if value is None]:
        raise SpecError("a line is no NAME=VALUE", where=str(path), faults=faults)
    return {name: str(value) for name, value in found.items()}


def target_settings(old: Settings, values: Mapping[str, str], path: Path) -> Settings:
    """Return the settings of the new place.

    Raises
    ------
    SpecError
        A setting is wrong, or the new home is the old one, in it or around it.
    """
    if "AIMASS_HOME" not in values:
        raise SpecError(
            "the new place has no home",
            where=str(path),
            expected="a line AIMASS_HOME=FOLDER",
            cure="name a folder that is empty or does not exist; it holds what belongs to one host, and the keys",
        )
    if unknown := sorted(name for name in values if name.startswith(PREFIX) and name not in _known()):
        raise SpecError(
            "there is no such setting",
            where=str(path),
            seen=", ".join(unknown),
            cure="docs/settings.md lists the settings",
        )
    with environment(values):
        new = configuration.load()
    mine, its = old.home.resolve(), new.home.resolve()
    if mine == its or mine in its.parents or its in mine.parents:
        raise SpecError(
            "the new home is the old one, in it or around it",
            where="AIMASS_HOME",
            seen=str(its),
            expected=f"a folder apart from {mine}",
            cure="name another folder: the old home is left as it is",
        )
    if new.ledger_address == old.ledger_address:
        raise SpecError(
            "the new ledger is the old one",
            where="AIMASS_LEDGER_URL",
            expected="another database",
            cure="name an empty database",
        )
    return new


def _known() -> set[str]:
    """Return the names of all variables that are settings."""
    found = {f"{PREFIX}{name.upper()}_FILE" for name in AS_FILE}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        others = [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [alias or ""]
        found.update([f"{PREFIX}{name.upper()}"] if alias is None else map(str, others))
    return found


def state_of(new: Settings) -> Path:
    """Return the note in the new home of what has arrived."""
    return new.home / "migration.json"


def described(new: Settings) -> dict[str, str]:
    """Return where the parts of the new place are, without passwords."""
    from pipelines.backup.plain_settings import plain_settings

    mlflow = make_url(new.mlflow_store).render_as_string(hide_password=True)
    return {"ledger": str(plain_settings(new)["ledger_url"] or new.ledger_path), "registry": mlflow}
