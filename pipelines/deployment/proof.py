"""The proof: over HTTP, through the gateway's own code, a service repeats the golden predictions of its version."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from pipelines.errors import DeployError
from pipelines.gateway.request_body import MAX_BYTES
from pipelines.inference.explain import explain_row
from pipelines.inference.golden import first_difference, parted_feature, predictions_difference
from pipelines.inference.model_directory import ModelDirectory

CHUNK = 100
SINGLES = 5


def prove(client: httpx.Client, opened: ModelDirectory, *, rows: int, tolerance: float) -> dict[str, Any]:
    """Ask for the golden rows and compare; return what was compared and how far it differed.

    The first rows go one by one, all go in chunks, so both ways of predicting are proved.

    Parameters
    ----------
    client
        Of a gateway that serves the version, see :func:`pipelines.gateway.private.private_gateway`.
    opened
        The model directory with ``golden.json``.
    rows
        At most this many golden rows.
    tolerance
        Largest difference allowed, relative above 1.

    Raises
    ------
    DeployError
        There is no golden row, the status is not 200, or a prediction differs or is no number; then
        the first fault names the step and the column where the service and the model directory part.
    """
    golden = opened.golden
    sent, stored = golden["rows"][:rows], golden["answers"][:rows]
    if not sent:
        raise DeployError(
            "the version has no golden predictions",
            where=str(opened.path / "golden.json"),
            expected="at least one row",
            cure="run the night again: clean leaves example rows for it",
        )
    address = f"/v1/models/{opened.facts['model']}"
    started = time.monotonic()
    chunked = ask(client, address, sent)
    single = [each for row in sent[:SINGLES] for each in _ask(client, address, [row])]
    checks = [*enumerate(zip(chunked, stored, strict=True)), *enumerate(zip(single, stored, strict=False))]
    differences = [predictions_difference([served], [held]) for _, (served, held) in checks]
    wrong = [
        (row, f"row {row}: served {served}, golden {held}"[:300])
        for (row, (served, held)), difference in zip(checks, differences, strict=True)
        if not difference <= tolerance  # so that NaN is a fault
    ]
    largest = max(differences)
    if wrong:
        raise DeployError(
            f"{len(wrong)} served prediction(s) differ from the golden ones",
            where=str(client.base_url),
            seen=f"largest difference {largest:g}; {_parting(client, address, opened, wrong[0][0])}",
            expected=f"at most {tolerance:g}",
            cure="the old version stays live; compare the library versions that trained and serve",
            faults=[text for _, text in wrong],
        )
    return {"rows": len(sent), "largest_difference": largest, "seconds": round(time.monotonic() - started, 3)}


def _parting(client: httpx.Client, address: str, opened: ModelDirectory, index: int) -> str:
    """Tell at which step and column a served row parts from what the model was made with."""
    row = opened.golden["rows"][index]
    try:
        reply = client.post(f"{address}:explain", json={"instances": [row]})
        served = reply.json()["explanation"]
    except (httpx.TransportError, ValueError, KeyError):
        return "where they part cannot be told: the service does not explain the row"
    features = [feature["value"] for feature in served["features"]]
    return parted_feature(opened.predictor, features, index) or first_difference(
        served, explain_row(opened.predictor, row)
    )


def ask(client: httpx.Client, address: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the predictions of rows, asked for in chunks of limited rows and bytes.

    Raises
    ------
    DeployError
        The service breaks off, refuses a row, or predicts what is no number.
    """
    found: list[dict[str, Any]] = []
    chunk: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row))
        if chunk and (len(chunk) == CHUNK or size + length > MAX_BYTES // 2):
            found += _ask(client, address, chunk)
            chunk, size = [], 0
        chunk.append(row)
        size += length
    return found + (_ask(client, address, chunk) if chunk else [])


def _ask(client: httpx.Client, address: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    try:
        reply = client.post(f"{address}:predict", json={"instances": list(rows)})
    except httpx.TransportError as error:
        raise DeployError("the new service broke off", where=address, seen=error, cure="read its log") from None
    if reply.status_code != 200:
        raise DeployError(
            "the service refused rows that its version predicted before",
            where=f"{address}:predict",
            seen=f"{reply.status_code} {reply.text[:500]}",
            expected="200",
        )
    predictions: list[dict[str, Any]] = json.loads(reply.content, parse_constant=_not_a_number)["predictions"]
    if len(predictions) != len(rows):
        raise DeployError("the new service lost rows", where=address, seen=len(predictions), expected=len(rows))
    return predictions


def _not_a_number(text: str) -> float:
    raise DeployError("the new service answered what is no number", seen=text, expected="finite numbers")
