"""`aimass explain`: one prediction of a version, step by step, compared with that of its service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import storage
from pipelines.batch.predict import choose_version
from pipelines.cli.console import say, table
from pipelines.cli.show import require_model
from pipelines.errors import DataError, DeployError
from pipelines.ledger import Ledger
from pipelines.secret_files import public_key
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.inference.predictor import Predictor

SECONDS = 10.0


def read_row(text: str | None, predictor: Predictor) -> dict[str, Any]:
    """Read a row as the gateway reads it: one strict JSON object of plain cells; None: the version's example.

    Parameters
    ----------
    text
        JSON, or ``@`` and the path of a file with it.

    Raises
    ------
    DataError
        If it cannot be read, or is no such object.
    """
    if text is None:
        return dict(predictor.schema.example)
    from pipelines.gateway.errors import RequestError
    from pipelines.gateway.json_body import parse_json

    try:
        content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    except OSError as error:
        raise DataError("cannot read the row", where=text[1:], seen=error.strerror or error) from None
    try:
        row = parse_json(content)
        seen = "" if isinstance(row, dict) else f"a row is not an object: {type(row).__name__}"
    except RequestError as error:
        row, seen = None, f"{error.error['what']} {error.error['seen']}".strip()
    if not isinstance(row, dict):
        raise DataError(
            "the row cannot be read",
            where="--row",
            seen=seen,
            expected="one JSON object {column: value}: text, numbers, true, false or null",
            cure=f"for example --row '{json.dumps(predictor.schema.example, ensure_ascii=False)}'",
        )
    return row


def explain(settings: Settings, ledger: Ledger, name: str, text: str | None, version: int | None) -> dict[str, Any]:
    """Return the steps of :func:`pipelines.inference.explain.explain_row`, the model, the version and the service.

    ``service`` is ``same`` or ``not running``.

    Raises
    ------
    DataError
        The row cannot be read or lacks a column.
    DeployError
        The version's service returns another prediction.
    """
    from pipelines.inference.explain import explain_row
    from pipelines.inference.model_directory import ModelDirectory

    if not ledger.versions(name):
        require_model(ledger, name)
    row = choose_version(ledger, name, version)
    predictor = ModelDirectory.open(storage.resolve(settings, row.model_uri), public_key(settings)).predictor
    sent = read_row(text, predictor)
    steps = explain_row(predictor, sent)
    served = ask_service(settings, ledger, name, row.version, sent)
    if served is not None and served != steps["answer"]:
        raise DeployError(
            "the service returns another prediction than its model directory",
            where=f"{name} version {row.version}",
            seen=json.dumps(served, ensure_ascii=False),
            expected=json.dumps(steps["answer"], ensure_ascii=False),
            cure="aimass status; start the service again, and report it with the row",
        )
    return {"model": name, "version": row.version, **steps, "service": "same" if served else "not running"}


def ask_service(settings: Settings, ledger: Ledger, name: str, version: int, row: Mapping[str, Any]) -> Any:
    """Return the prediction of the version's own service; None where it is not running."""
    from pipelines.inference.service.client import ServiceClient
    from pipelines.inference.service.tls import Certificates

    ready = [each for each in ledger.serving(name) if each.version == version and each.actual == "ready"]
    for each in ready:
        for address in each.addresses:
            try:
                with ServiceClient(address, SECONDS, Certificates.of(settings)) as client:
                    return client.call("explain", {"row": dict(row)})["answer"]
            except OSError:
                continue
    return None


def show(facts: Mapping[str, Any]) -> None:
    """Print the steps; numbers in full, so that they can be compared bit for bit."""
    say(f"{facts['model']} version {facts['version']}")
    say("\nraw -> clean")
    table(["column", "sent", "read as"], list(_cells(facts)))
    if facts["ignored"]:
        say(f"not needed: {', '.join(facts['ignored'])}")
    say("\nclean -> features")
    rows = [[each["name"], _text(each["value"]), _origin(each)] for each in facts["features"]]
    table(["feature", "value", "made from"], rows)
    say("\nfeatures -> members")
    table(["member", "family", "weight", "prediction"], list(_members(facts["members"])))
    say("\nmembers -> prediction")
    combination, calibration = facts["combination"], facts["calibration"]
    say(f"{combination['kind']}: {combination['formula']}")
    say(f"  = {_text(combination['answer'])}")
    if calibration:
        say(f"calibrated ({calibration['kind']}): {_text(calibration['answer'])}")
    if facts["threshold"]:
        say(f"the positive label from a probability of {facts['threshold']['value']!r} on")
    say(f"prediction: {json.dumps(facts['answer'], ensure_ascii=False)}")
    say(f"service: {'the same prediction, bit for bit' if facts['service'] == 'same' else 'not running here'}")


def _cells(facts: Mapping[str, Any]) -> Iterator[list[str]]:
    clean, unreadable = facts["clean"], facts["unreadable"]
    for name in dict.fromkeys([*facts["raw"], *facts["added"], *clean]):
        sent = json.dumps(facts["raw"][name], ensure_ascii=False) if name in facts["raw"] else "(added)"
        read = clean[name] if name in clean else facts["added"].get(name)
        if name in unreadable:
            yield [name, sent, "missing: cannot be read"]
        elif name in clean or name in facts["added"]:
            yield [name, sent, "missing" if read is None else json.dumps(read, ensure_ascii=False)]
        else:
            yield [name, sent, "(for added columns)"]


def _origin(feature: Mapping[str, Any]) -> str:
    sources = ", ".join(feature["sources"])
    if not feature["steps"]:
        return "as it is" if sources == feature["name"] else sources
    return f"{sources}: {' -> '.join(feature['steps'])}"


def _members(members: list[dict[str, Any]]) -> Iterator[list[str]]:
    for each in members:
        kind = "" if each["kind"] == "member" else f" ({each['kind']} of {len(each['parts'])})"
        reads = f" reads {', '.join(map(str, each['reads']))}" if each["reads"] else ""
        yield [str(each["place"]), f"{each['family']}{kind}{reads}", repr(each["weight"]), _text(each["answer"])]
        for index, part in enumerate(each["parts"]):
            yield [f"  {each['place']}.{index}", "", "", _text(part)]


def _text(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, Mapping):
        return ", ".join(f"{label} {number!r}" for label, number in value.items())
    return repr(value)
