"""The proof: a running service repeats the golden predictions of the model directory."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from pipelines.errors import DeployError
from pipelines.inference.golden import predictions_difference
from pipelines.inference.model_directory import ModelDirectory

CHUNK = 100
SINGLES = 5
TIMEOUT = 60.0


def prove(url: str, opened: ModelDirectory, *, rows: int, tolerance: float) -> dict[str, Any]:
    """Send the golden rows to ``url``/predict and compare; return what was compared and how far it differed.

    The first rows go one by one, all go in chunks, so both ways of predicting are checked.

    Parameters
    ----------
    url
        Address of the bento.
    opened
        The model directory with ``golden.json``.
    rows
        At most this many golden rows.
    tolerance
        Largest difference allowed, relative above 1.

    Raises
    ------
    DeployError
        There is no golden row, the status is not 200, or a prediction differs or is no number.
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
    started = time.monotonic()
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        chunked = [
            prediction for at in range(0, len(sent), CHUNK) for prediction in _ask(client, url, sent[at : at + CHUNK])
        ]
        single = [prediction for row in sent[:SINGLES] for prediction in _ask(client, url, [row])]
    checks = [*enumerate(zip(chunked, stored, strict=True)), *enumerate(zip(single, stored, strict=False))]
    differences = [predictions_difference([served], [held]) for _, (served, held) in checks]
    faults = [
        f"row {row}: served {served}, golden {held}"[:300]
        for (row, (served, held)), difference in zip(checks, differences, strict=True)
        if not difference <= tolerance  # so that NaN is a fault
    ]
    largest = max(differences)
    if faults:
        raise DeployError(
            f"{len(faults)} served prediction(s) differ from the golden ones",
            where=url,
            seen=f"largest difference {largest:g}",
            expected=f"at most {tolerance:g}",
            cure="the old version stays live; compare the library versions that trained and serve",
            faults=faults,
        )
    return {"rows": len(sent), "largest_difference": largest, "seconds": round(time.monotonic() - started, 3)}


def _ask(client: httpx.Client, url: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        response = client.post(f"{url}/predict", json={"instances": rows})
    except httpx.TransportError as error:
        raise DeployError("the new service broke off", where=url, seen=error, cure="read its log") from None
    if response.status_code != 200:
        raise DeployError(
            "the new service refused golden rows",
            where=f"{url}/predict",
            seen=f"{response.status_code} {response.text[:500]}",
            expected="200",
        )
    predictions: list[dict[str, Any]] = json.loads(response.content, parse_constant=_not_a_number)["predictions"]
    if len(predictions) != len(rows):
        raise DeployError("the new service lost rows", where=url, seen=len(predictions), expected=len(rows))
    return predictions


def _not_a_number(text: str) -> float:
    raise DeployError("the new service predicted a value that is no number", seen=text, expected="finite numbers")
