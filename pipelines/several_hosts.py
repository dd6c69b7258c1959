"""Settings of an installation on several machines: executor, databases, addresses, certificates, secrets as files."""

from __future__ import annotations

import ipaddress
import os
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from pipelines.errors import SpecError

AS_FILE = (
    "ledger_url",
    "airflow_database",
    "mlflow_database",
    "celery_broker",
    "limits_url",
    "alert_mail",
    "alert_webhook",
    "alert_alertmanager",
    "alert_apprise",
)
"""Settings that may hold a password: ``AIMASS_<NAME>_FILE`` names a private file with the value instead."""


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


class SeveralHosts(BaseSettings):
    """What an installation on several machines sets, and one machine leaves alone."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    tls_cert: Path | None = None
    """Certificate (PEM, with its chain) of Airflow, MLflow and gateway; without one they bind to loopback alone."""
    tls_key: Path | None = None
    """Private key (PEM, a private file) of that certificate."""
    tls_ca: Path | None = None
    """Authorities (PEM) that signed the certificates of other machines; default: those this machine trusts."""
    host: str = "127.0.0.1"
    """Address every server binds to; another than loopback needs `AIMASS_TLS_CERT` and `AIMASS_TLS_KEY`."""
    grpc_port: int | None = Field(default=None, ge=1024, le=65535)
    """Port of the prediction API over gRPC; default: it is not served."""
    executor: Literal["LocalExecutor", "CeleryExecutor", "KubernetesExecutor"] = "LocalExecutor"
    """Runs Airflow's tasks: `LocalExecutor` on this machine, `CeleryExecutor` on workers of any number of machines,
    `KubernetesExecutor` each in a pod of its own."""
    pod_template: Path | None = None
    """Pod (YAML) that `KubernetesExecutor` makes those of tasks from, such as `docker/kubernetes/pod-template.yaml`."""
    pod_namespace: str = Field(default="aimass", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    """Namespace of these pods."""
    parts: Annotated[tuple[str, ...], NoDecode] = ()
    """Parts of the platform that this machine runs, such as `celery-worker` or `airflow-api,mlflow`; default: all."""
    ledger_url: str | None = None
    """SQLAlchemy address of the ledger; default: SQLite under the home."""
    airflow_database: SecretStr | None = None
    """Airflow's database, `postgresql+psycopg://USER:PASSWORD@HOST/NAME`; default: SQLite under the home."""
    celery_broker: SecretStr | None = None
    """Redis or Valkey that brings tasks to workers, `redis://:PASSWORD@HOST:6379/0` or `rediss://` for TLS."""
    mlflow_database: SecretStr | None = None
    """MLflow's database, `postgresql+psycopg://USER:PASSWORD@HOST/NAME`; default: SQLite under the home."""
    limits_url: str = Field(
        default="memory://", validation_alias=AliasChoices("AIMASS_LIMITS_URL", "AIMASS_RATE_STORE")
    )
    """Where gateways count requests for limits; `redis://:PASSWORD@HOST:PORT` where several share them."""
    airflow_address: str | None = None
    """Address under which other machines reach Airflow, such as `https://HOST:8080`; default: by host and port."""
    mlflow_address: str | None = None
    """Address under which other machines reach MLflow, such as `https://HOST:5000`; default: by host and port."""
    serve_address: str | None = None
    """Address at which gateways of other hosts reach this one's services, by mutual TLS; default: private sockets."""
    serve_ports: str = "7100-7199"
    """Ports of the services at that address."""
    serve_certificate: Path | None = None
    """Certificate (PEM) by which this host's services and gateway are known to those of other hosts."""
    serve_key: Path | None = None
    """Private key (PEM, a private file) of that certificate."""
    serve_authority: Path | None = None
    """Certificate (PEM) of the authority that signed those of all hosts, and of nobody else."""
    dask_scheduler: str | None = Field(default=None, pattern=r"^(tls|tcp)://[^/@\s]+:\d+$")
    """Dask scheduler for tables above a machine's share: `tls://HOST:8786`; `tcp://…` on a trusted network only."""
    dask_tls: Path | None = None
    """Folder with `ca.pem`, `cert.pem` and `key.pem` (0600) for a `tls://` scheduler; default: `secrets/dask`."""
    dask_from_gb: float | None = Field(default=None, ge=0)
    """Memory, in GB, above which a table is for that scheduler; default: a quarter of `AIMASS_MEMORY_GB`."""
    ray_address: str | None = Field(default=None, pattern=r"^[^/@:\s]+:\d+$")
    """Ray cluster that trials run on, `HOST:6379`; default: a Ray of the stage's own, on this machine."""
    ray_token: Path | None = None
    """File (0600) with the token of that cluster; default: `secrets/ray_token`."""
    secrets_folder: Path | None = None
    """Folder with the secrets, the same on every machine; default: `secrets` under the home."""

    @field_validator(
        "tls_cert",
        "tls_key",
        "tls_ca",
        "pod_template",
        "dask_tls",
        "ray_token",
        "secrets_folder",
        "serve_certificate",
        "serve_key",
        "serve_authority",
    )
    @classmethod
    def _full_path(cls, value: Path | None) -> Path | None:
        return value if value is None else Path(os.path.abspath(value.expanduser()))

    @field_validator("parts", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(filter(None, (each.strip() for each in value.split(",")))) if isinstance(value, str) else value

    @field_validator("airflow_database", "mlflow_database")
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("is not postgresql+psycopg://USER:PASSWORD@HOST/NAME; leave it out for SQLite")
        return value

    @field_validator("celery_broker")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("is not redis://:PASSWORD@HOST:PORT/NUMBER or rediss://…; Valkey has these addresses too")
        return value

    @field_validator("airflow_address", "mlflow_address")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("is not http://HOST:PORT or https://HOST:PORT")
        return value if value is None else value.rstrip("/")

    @field_validator("serve_ports")
    @classmethod
    def _port_range(cls, value: str) -> str:
        first, dash, last = value.partition("-")
        if not (dash and first.isdigit() and last.isdigit() and 1024 <= int(first) <= int(last) <= 65535):
            raise ValueError("is no range of ports from 1024 to 65535, such as 7100-7199")
        return value

    @model_validator(mode="after")
    def _known_to_each_other(self) -> Self:
        files = (self.serve_certificate, self.serve_key, self.serve_authority)
        if any(files) and not all(files):
            raise ValueError("serve_certificate, serve_key and serve_authority belong together: set all three")
        if self.serve_address is not None and not all(files):
            raise ValueError(
                "serve_address needs serve_certificate, serve_key and serve_authority: services on a network are asked "
                "over mutual TLS alone"
            )
        return self

    @field_validator("host")
    @classmethod
    def _encrypted_or_loopback(cls, value: str, info: ValidationInfo) -> str:
        if not _is_loopback(value) and info.data.get("tls_cert", True) is None:
            raise ValueError(f"{value} is not a loopback address; others need TLS: AIMASS_TLS_CERT and AIMASS_TLS_KEY")
        return value

    @field_validator("grpc_port")
    @classmethod
    def _plain_on_loopback(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and not _is_loopback(info.data.get("host", "localhost")):
            raise ValueError("is for a loopback host: gRPC is served without TLS; leave it out")
        return value

    @model_validator(mode="after")
    def _shared_ledger(self) -> Self:
        if self.serve_address is not None and not (self.ledger_url or "").startswith("postgresql"):
            raise ValueError("serve_address needs a ledger_url of PostgreSQL: SQLite is for one host")
        return self

    @model_validator(mode="after")
    def _whole_certificate(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together; set both, or neither")
        return self

    @property
    def origin(self) -> str:
        """What addresses of this machine begin with; servers bound to all its addresses are at localhost."""
        host = "localhost" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - what such a host is called here
        return f"{'http' if self.tls_cert is None else 'https'}://{f'[{host}]' if ':' in host else host}"

    @property
    def trusted(self) -> ssl.SSLContext | bool:
        """What a client's ``verify`` takes: the authorities of other machines, or True for those of this machine."""
        return True if self.tls_ca is None else ssl.create_default_context(cafile=str(self.tls_ca))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then variables, then files that variables name."""
        return init_settings, env_settings, PrivateFiles(settings_cls)


class PrivateFiles(PydanticBaseSettingsSource):
    """Reads ``AIMASS_<NAME>_FILE``: the path of a private file with the value."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one setting."""
        path = file_of(field_name)
        return (None if path is None else read_private(path)), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all settings that a file holds."""
        return {name: read_private(path) for name in AS_FILE if (path := file_of(name)) is not None}


def file_of(name: str) -> Path | None:
    """Return the file that holds a setting; None: it is given as a variable, or not at all.

    Raises
    ------
    SpecError
        Both are set.
    """
    variable = f"AIMASS_{name.upper()}"
    path = os.environ.get(f"{variable}_FILE") if name in AS_FILE else None
    if path and os.environ.get(variable):
        raise SpecError(
            "a setting is given twice", where=f"{variable} and {variable}_FILE", expected="one of them",
            cure=f"unset {variable}",
        )  # fmt: skip
    return Path(path).expanduser() if path else None


def read_private(path: Path) -> str:
    """Return the text of a file that nobody else may read.

    Raises
    ------
    SpecError
        It is not there, or open to others.
    """
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text().strip()
    except OSError as error:
        raise SpecError(
            "a file with a secret cannot be read", where=str(path), seen=error.strerror, expected="a file of mode 600",
            cure="write it, or correct the variable that names it",
        ) from None  # fmt: skip
    if mode & 0o077:
        raise SpecError(
            "a file with a secret is open to others", where=str(path), seen=f"mode {mode:o}", expected="600",
            cure=f"chmod 600 {path}",
        )  # fmt: skip
    return text
