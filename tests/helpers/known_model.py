"""The tiny model with what its training rows knew, served by a real service behind a real gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from gateways import running

from pipelines.deployment.serve import private_service
from pipelines.inference.manifest import write_manifest
from pipelines.inference.schema import ServeSchema
from pipelines.secret_files import signing_key
from pipelines.storage import resolve


@contextmanager
def knowing(
    packaged: SimpleNamespace, known: Mapping[str, Mapping[str, Any]], scopes: Sequence[str]
) -> Iterator[SimpleNamespace]:
    """Write ranges and levels into version 1, sign it again, serve it; ``gateway`` is a client with a token."""
    settings, ledger = packaged.settings, packaged.ledger
    key = signing_key(settings).read_bytes()
    (bento_folder,) = settings.bentoml_home.glob("bentos/demo/*/")
    for folder in (resolve(settings, ledger.version("demo", 1).model_uri), bento_folder / "src" / "model"):
        for path in (folder, folder / "schema.json", *folder.glob("manifest.*")):
            path.chmod(0o700)
        schema = ServeSchema.load(folder)
        replace(schema, columns=tuple(replace(c, **known.get(c.name, {})) for c in schema.columns)).save(folder)
        write_manifest(folder, key)
    for path in (bento_folder, *bento_folder.glob("manifest.*")):
        path.chmod(0o700)
    write_manifest(bento_folder, key)
    with private_service(settings, "demo", 1, 60) as address:
        ledger.want("demo", 1, "serve")
        ledger.switch("demo", 1, 0, "test", "test")
        ledger.observe("demo", 1, "ready", address=address)
        with running(settings, ledger) as gateway:
            token = ledger.issue_token("knowing", scopes, 1)
            gateway.headers["Authorization"] = f"Bearer {token}"
            yield SimpleNamespace(
                settings=settings, ledger=ledger, gateway=gateway, token=token, url=str(gateway.base_url)
            )
