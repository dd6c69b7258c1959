"""Folders, addresses and ports of an installation: all that differs between one machine and many."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from pipelines.errors import SpecError
from pipelines.several_hosts import SeveralHosts
from pipelines.spec import spec_error

BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)*/?")
"""An object store: bucket, and a prefix that may be empty."""
USER = r"[a-z][a-z0-9._-]{0,62}:(?:viewer|user|op|admin)"
"""A user of Airflow and the role."""


def find_home() -> Path:
    """Return the nearest ``.aimass`` from the working folder up, else the one beside ``dags/``, else the one here."""
    here = Path.cwd()
    for marker in (".aimass", "dags"):
        for folder in (here, *here.parents):
            if (folder / marker).is_dir():
                return folder / ".aimass"
    return here / ".aimass"


def usable_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0))


class Settings(SeveralHosts):
    """Settings of one installation; each is an environment variable ``AIMASS_<NAME>``."""

    model_config = SettingsConfigDict(
        env_prefix="AIMASS_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
    )

    home: Path = Field(default_factory=find_home, validate_default=True)
    """Root of all state; default: `.aimass`, found upward from the working folder."""
    dags_folder: Path | None = None
    """Folder with the DAG files; default: `dags` beside the home, else the one found upward from the working folder."""
    airflow_port: int = Field(default=8080, ge=1024, le=65535)
    """Port of Airflow's UI and API."""
    airflow_users: str = ""
    """Further users of Airflow's UI with roles (`viewer`, `user`, `op`, `admin`), such as `ada:viewer,bob:op`; their
    passwords are in `secrets/airflow_passwords.json`; default: `admin` alone."""
    mlflow_port: int = Field(default=5000, ge=1024, le=65535)
    """Port of the MLflow server."""
    gateway_port: int = Field(default=8000, ge=1024, le=65535)
    """Port of the prediction API."""
    access_log: Literal["errors", "all"] = "errors"
    """Requests that the gateway's log has a line for: those that failed, or all."""
    log_format: Literal["text", "json"] = "text"
    """Lines of the logs of Airflow, stages, gateway and services: `text` for people, or one `json` object per line."""
    storage_address: Path | str | None = Field(default=None, validation_alias="AIMASS_STORAGE")
    """Results, models, histories and prediction log: a folder, or `s3://BUCKET/PREFIX`; default: `storage` under the
    home."""
    storage_cache_gb: float = Field(default=20.0, gt=0)
    """Size, in GB, that housekeeping leaves to this machine's copies of what is in an object store."""
    s3_endpoint: str | None = None
    """Address of the object store of `s3://`, such as `https://HOST:9000`; default: as AWS's tools find it."""
    backups_folder: Path | str | None = None
    """Folder of the backups, best on another disk, or `s3://BUCKET/PREFIX`; default: `backups` under the home."""
    backups_key: Path | None = None
    """File with the key or passphrase that backups are encrypted with, which none of them holds; default: none is."""
    alert_mail: SecretStr | None = None
    """Mail server that alerts go to, such as `mailtos://USER:PASSWORD@HOST:PORT/?from=A&to=B,C`; default: none."""
    alert_webhook: SecretStr | None = None
    """Address that takes alerts as Slack does, `{"text": …}` by POST; default: none."""
    alert_alertmanager: SecretStr | None = None
    """Alertmanager that alerts go to, `http://HOST:9093` or `https://USER:PASSWORD@HOST/PREFIX`; default: none."""
    alert_apprise: SecretStr | None = None
    """Any other service that apprise knows, by its address there, such as `tgram://…`; default: none."""
    alert_repeat_hours: float = Field(default=24.0, ge=0)
    """Hours after which an alert that is still open is sent again; 0: never."""
    cores: int = Field(default_factory=usable_cores, ge=1)
    """Cores that one stage may use; default: all that this process may use."""
    memory_gb: float = Field(default=4.0, gt=0)
    """Memory, in GB, that one stage may plan with."""

    @field_validator("home", "dags_folder", "backups_key")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value if value is None else Path(os.path.abspath(value.expanduser()))

    @field_validator("airflow_users")
    @classmethod
    def _users(cls, value: str) -> str:
        if value and not re.fullmatch(rf"{USER}(,{USER})*", value):
            raise ValueError("is no list such as ada:viewer,bob:op with roles viewer, user, op and admin")
        return value

    @field_validator("storage_address", "backups_folder", mode="before")
    @classmethod
    def _folder_or_bucket(cls, value: Any) -> Any:
        text = str(value)
        if value is None or (text.startswith("s3://") and BUCKET.fullmatch(text)):
            return text.rstrip("/") if value is not None else None
        if "://" in text or text.startswith("s3:"):
            raise ValueError("is neither a folder nor s3://BUCKET/PREFIX with a prefix of letters, digits and ._-/")
        return Path(os.path.abspath(Path(text).expanduser()))

    @field_validator("s3_endpoint")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/@?#\s]+/?", value):
            raise ValueError("is not http://HOST:PORT or https://HOST:PORT; credentials do not belong into it")
        return value

    @property
    def dags(self) -> Path:
        """Folder with the DAG files."""
        beside = self.home.parent / "dags"
        if self.dags_folder is not None or beside.is_dir():
            return self.dags_folder or beside
        here = Path.cwd()
        return next((path for folder in (here, *here.parents) if (path := folder / "dags").is_dir()), beside)

    @property
    def storage(self) -> Path:
        """The storage root, which refs are relative to; of an object store, the root of this machine's copies."""
        if isinstance(self.storage_address, Path):
            return self.storage_address
        return self.home / "storage" if self.storage_address is None else self.home / "cache" / "storage"

    @property
    def storage_bucket(self) -> str | None:
        """Address of the object store that the storage is in; None: it is a folder."""
        return self.storage_address if isinstance(self.storage_address, str) else None

    @property
    def staging(self) -> Path:
        """Unpublished work, on the storage root's own file system."""
        return self.storage / ".staging"

    @property
    def ledger_path(self) -> Path:
        """File of the default ledger."""
        return self.home / "ledger.db"

    @property
    def ledger_address(self) -> str:
        """SQLAlchemy address of the ledger in force."""
        return self.ledger_url or f"sqlite:///{self.ledger_path}"

    @property
    def secrets(self) -> Path:
        """Files with secrets, each 0600."""
        return self.secrets_folder or self.home / "secrets"

    @property
    def logs(self) -> Path:
        """Log files of the platform's parts."""
        return self.home / "logs"

    @property
    def run_dir(self) -> Path:
        """Process ids and other short-lived files."""
        return self.home / "run"

    @property
    def controller_beat(self) -> Path:
        """The file that the platform's controller touches with every pass."""
        return self.run_dir / "controller.beat"

    @property
    def alias_watch_beat(self) -> Path:
        """The file that the watch over MLflow's aliases touches with every look."""
        return self.run_dir / "alias_watch.beat"

    @property
    def calls(self) -> Path:
        """Requests and results of stages."""
        return self.home / "calls"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME of the platform."""
        return self.home / "airflow"

    @property
    def mlflow_dir(self) -> Path:
        """Database and artifacts of MLflow."""
        return self.home / "mlflow"

    @property
    def mlflow_store(self) -> str:
        """MLflow's own database, for use when its server is not running."""
        given = self.mlflow_database
        return f"sqlite:///{self.mlflow_dir / 'mlflow.db'}" if given is None else given.get_secret_value()

    @property
    def bentoml_home(self) -> Path:
        """BENTOML_HOME: the built bentos."""
        return self.home / "bentoml"

    @property
    def backups(self) -> Path:
        """Signed backups and the chunks that they share; of an object store, what this machine keeps of them."""
        if isinstance(self.backups_folder, Path):
            return self.backups_folder
        return self.home / "backups" if self.backups_folder is None else self.home / "cache" / "backups"

    @property
    def backups_bucket(self) -> str | None:
        """Address of the object store that the backups are in; None: they are in a folder."""
        return self.backups_folder if isinstance(self.backups_folder, str) else None

    @property
    def feed(self) -> Path:
        """Generated demo data."""
        return self.home / "feed"

    @property
    def docs(self) -> Path:
        """Data Docs: the latest of each model."""
        return self.home / "docs"

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI."""
        return self.airflow_address or f"{self.origin}:{self.airflow_port}"

    @property
    def mlflow_uri(self) -> str:
        """Address of the MLflow server."""
        return self.mlflow_address or f"{self.origin}:{self.mlflow_port}"

    @property
    def gateway_url(self) -> str:
        """Address of the prediction API."""
        return f"{self.origin}:{self.gateway_port}"

    def ensure(self) -> Settings:
        """Create the folders, 0700 whatever the umask, and return the settings back."""
        folders = (
            self.home,
            self.storage,
            self.staging,
            self.secrets,
            self.logs,
            self.run_dir,
            self.calls,
            self.airflow_home,
            self.mlflow_dir,
            self.bentoml_home,
            self.backups,
            self.feed,
            self.docs,
        )
        for folder in folders:
            make_private(folder)
        return self


def make_private(folder: Path) -> Path:
    """Create a folder (parents too) readable by its owner alone, whatever the umask."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(0o700)
    except OSError as error:
        raise SpecError(
            "cannot create a folder for state",
            where=str(folder),
            seen=error.strerror or error,
            expected="a writable folder",
            cure="set AIMASS_HOME to a folder you may write to",
        ) from None
    return folder


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment; ``overrides`` win.

    Raises
    ------
    SpecError
        If a setting is unknown, of the wrong type or not loopback; lists every fault.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise spec_error("Settings", error, Settings.model_fields) from None
