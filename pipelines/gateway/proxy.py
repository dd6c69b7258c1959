"""Passing one request on to the bento that answers it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from pipelines.gateway.errors import RequestError
from pipelines.gateway.routing import Router, ServiceTarget

ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 1.0
JSON_TYPE = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class ServiceResponse:
    """What a bento answered: one prediction per row, and by column the cells that it could not take as they were."""

    predictions: list[dict[str, Any]]
    warnings: dict[str, dict[str, int]] = field(default_factory=dict)


def make_session() -> aiohttp.ClientSession:
    """Return the pooled client; must be called on the event loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=256, keepalive_timeout=3.0),  # below the bento's own 5 s
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS),
        trust_env=False,
    )


async def ask(
    session: aiohttp.ClientSession, router: Router, host: str, model: str, body: bytes
) -> tuple[ServiceResponse, int]:
    """Return the answer of a model and the version that gave it.

    A service that cannot be reached, or closes the connection, is taken for gone: the table is read again and the
    request is tried once more. Asking twice is harmless, a prediction changes nothing.

    Raises
    ------
    RequestError
        4xx as the bento answered, 502 for a broken answer, 503 if nothing is ready, 504 if none comes in time.
    """
    tried: ServiceTarget | None = None
    for attempt in (1, 2):
        target = _choose(router, model, tried)
        if target is None and attempt == 1:
            await router.refresh(since=router.snapshot.taken)
            target = _choose(router, model, tried)
        if target is None:
            break
        try:
            url = f"http://{host}:{target.port}/predict"
            async with session.post(url, data=body, headers=JSON_TYPE, allow_redirects=False) as answer:
                return _read(answer.status, await answer.read()), target.version
        except TimeoutError as error:
            if not isinstance(error, aiohttp.ConnectionTimeoutError):
                raise RequestError(504, "no answer in time", where=model, cure="send fewer rows") from None
        except aiohttp.ClientError:
            pass  # gone: asked again below
        tried = target
        await router.refresh(since=router.snapshot.taken)
    raise RequestError(
        503,
        "no service of this model is ready",
        where=model,
        cure="try again shortly; `aimass status` tells what is wrong",
        headers={"Retry-After": "2"},
    )


def _choose(router: Router, model: str, tried: ServiceTarget | None) -> ServiceTarget | None:
    targets = router.snapshot.targets(model)
    return next((target for target in targets if target != tried), targets[0] if targets else None)


def _read(status: int, payload: bytes) -> ServiceResponse:
    try:
        content = json.loads(payload)
        if status == 200:
            return ServiceResponse(content["predictions"], content.get("warnings", {}))
        error = content["error"] if isinstance(content, dict) else content
    except (ValueError, KeyError, TypeError):
        raise RequestError(502, "the model gave a broken answer", cure="see the log of its bento") from None
    if not 400 <= status < 500:
        what = error.get("what", "") if isinstance(error, dict) else ""
        raise RequestError(502, "the model failed", seen=f"{status} {what}", cure="see the log of its bento")
    if isinstance(error, dict):
        raise RequestError(
            status,
            str(error.get("what", "refused")),
            where=str(error.get("where", "")),
            seen=error.get("seen", ""),
            expected=error.get("expected", ""),
            cure=str(error.get("cure", "")),
            faults=[str(line) for line in error.get("faults", ())],
        )
    raise RequestError(status, "the model refused the rows", seen=error)
