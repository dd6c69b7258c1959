"""Makes the secrets of docker/compose.yaml: ``python docker/make_secrets.py FOLDER [--host NAME …]``.

    docker run --rm --user 0 --volume $PWD/docker:/docker aimass python /docker/make_secrets.py /docker/secrets

Passwords, addresses that hold them, the product's own keys, an authority and a certificate that it signed. The folder
is 0700 and no file is ever replaced, so that a second run adds what a new release needs. Keep a copy elsewhere: without
the signing key no model that is stored is served again.
"""

from __future__ import annotations

import argparse
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelines.local.airflow_config import fernet_file, password_file
from pipelines.private_columns import SECRET as PRIVATE
from pipelines.registry.tracking import TOKEN
from pipelines.secret_files import secret, signing_key, write_once
from pipelines.settings import load, make_private

SERVICES = ("airflow", "mlflow", "serving", "worker", "dask-scheduler", "dask-worker", "localhost")
"""Names that the certificate is for."""
OWN = ("airflow_jwt", "airflow_api", TOKEN, PRIVATE)
DATABASES = ("ledger", "airflow", "mlflow")
FOREIGN = ("postgres_password", "valkey_password", "s3_password")
"""Read by images of others, as users of their own: 0644, in a folder that is 0700."""
LIFE = timedelta(days=825)


def main() -> None:
    """Write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", action="append", default=[], help="a further name in the certificate")
    given = parser.parse_args()
    folder = make_private(given.folder.absolute())
    folder.chmod(0o700)
    for name in FOREIGN:
        write_once(folder / name, secrets.token_urlsafe(32))
    postgres, valkey, store = ((folder / name).read_text() for name in FOREIGN)
    write_once(folder / "s3_credentials", f"[default]\naws_access_key_id = aimass\naws_secret_access_key = {store}\n")
    for name in DATABASES:
        file = folder / ("ledger_url" if name == "ledger" else f"{name}_database")
        write_once(file, f"postgresql+psycopg://aimass:{postgres}@postgres:5432/{name}")
    for name, number in (("celery_broker", 0), ("limits_url", 1)):
        write_once(folder / name, f"redis://:{valkey}@valkey:6379/{number}")
    write_once(folder / "ray_token", secrets.token_hex(32))
    own_keys(folder)
    certificates(folder, (*SERVICES, *given.host))
    for path in folder.iterdir():
        path.chmod(0o644 if path.is_file() else 0o700)  # the folder keeps others out; containers copy what they read


def own_keys(folder: Path) -> None:
    """Write the keys that the product makes on first use, so that all its hosts have the same."""
    scratch = make_private(folder / ".home")
    settings = load(home=scratch)
    for path in folder.iterdir():
        if path.is_file():
            make_private(settings.secrets)
            write_once(settings.secrets / path.name, path.read_bytes())
    own = serialization.load_pem_private_key(signing_key(settings).read_bytes(), password=None)
    shown = own.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_once(settings.secrets / "public_key.pem", shown)  # all that a host needs which only serves
    fernet_file(settings)
    password_file(settings)
    for name in OWN:
        secret(settings, name)
    for path in settings.secrets.iterdir():
        write_once(folder / path.name, path.read_bytes())
        path.unlink()
    settings.secrets.rmdir()
    scratch.rmdir()
    assert json.loads((folder / "airflow_passwords.json").read_text())


def certificates(folder: Path, names: tuple[str, ...]) -> None:
    """Write an authority, ``ca.pem``, and a certificate that it signed for servers and clients of these names."""
    if (folder / "cert.pem").exists():
        return
    now = datetime.now(UTC)

    def build(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + LIFE)
        )

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    signed = (
        build("AI Mass authority", "AI Mass authority", authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    shown = (
        build("AI Mass", "AI Mass authority", own)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    key = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_once(folder / "ca.pem", signed.public_bytes(serialization.Encoding.PEM))
    write_once(folder / "key.pem", key)
    write_once(folder / "cert.pem", shown.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    main()
