"""How a program calls a model: curl, Python, TensorFlow Serving, Open Inference, with the version's own example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    """A call that can be copied."""

    title: str
    about: str
    text: str


def all_of(url: str, model: str, facts: Mapping[str, Any]) -> list[Sample]:
    """Return the samples of a model.

    Parameters
    ----------
    url
        Address of the gateway.
    facts
        What the gateway tells of the version: columns and example.
    """
    example: dict[str, Any] = dict(facts["example"])
    path = f"{url}/v1/models/{model}"
    return [
        Sample(
            "curl",
            "One object per row; the token is read from AIMASS_TOKEN.",
            curl(f"{path}:predict", json.dumps({"instances": [example]}, ensure_ascii=False)),
        ),
        Sample(
            "Python",
            "The package's own client needs httpx alone; lists, frames and generators are sent in parts.",
            f'from pipelines.client import Client\n\nwith Client("{url}") as client:  # the token of AIMASS_TOKEN\n'
            f"    found = client.predict({model!r}, [{example!r}])\n\nprint(found.values, found.probabilities)",
        ),
        Sample(
            "TensorFlow Serving",
            "The same address by columns, as its REST clients send.",
            curl(
                f"{path}:predict",
                json.dumps(
                    {"signature_name": "serving_default", "inputs": {name: [value] for name, value in example.items()}},
                    ensure_ascii=False,
                ),
            ),
        ),
        Sample(
            "Open Inference (Triton, KServe)",
            "Version 2 over REST: one input for each column, numbers FP64, texts BYTES.",
            curl(
                f"{url}/v2/models/{model}/infer",
                json.dumps({"inputs": tensors(facts["columns"], example)}, ensure_ascii=False),
            ),
        ),
    ]


def curl(address: str, body: str) -> str:
    """Return a line for a shell; whatever the body holds is one word of it."""
    quoted = body.replace("'", "'\\''")
    return (
        f'curl -s {address} -H "Authorization: Bearer $AIMASS_TOKEN" \\\n'
        f"    -H 'Content-Type: application/json' \\\n    -d '{quoted}'"
    )


def tensors(columns: list[Mapping[str, Any]], example: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the example as inputs of the Open Inference Protocol."""
    found = []
    for column in columns:
        name = column["name"]
        if name not in example:
            continue
        value = example[name]
        number = column["kind"] == "number" and isinstance(value, int | float) and not isinstance(value, bool)
        cell = value if number else "None" if value is None else value if isinstance(value, str) else json.dumps(value)
        found.append({"name": name, "shape": [1], "datatype": "FP64" if number else "BYTES", "data": [cell]})
    return found
