"""The Open Inference Protocol, version 2, over REST, with its extension for tensors as raw bytes.

One input per column, named as the column, shape [n] or [n, 1]. Text that pandas writes for what is missing is missing.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import numpy as np

from pipelines.gateway.errors import RequestError
from pipelines.gateway.json_body import parse_json
from pipelines.gateway.services import Predicted
from pipelines.gateway.tables import MAX_ROWS, Shape

HEADER_LENGTH = "inference-header-content-length"
TYPES = ("", "application/json", "application/octet-stream", "application/x-www-form-urlencoded")
"""The usual client sends no type; some HTTP libraries add one of their own."""
NUMBERS: dict[str, str] = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
MISSING = frozenset({"None", "nan", "NaN", "<NA>", "NaT"})
"""What pandas and NumPy write for a missing cell where a column is made into texts."""
LENGTH = struct.Struct("<I")

_encode = msgspec.json.Encoder().encode


class Asked:
    """A request: its cells, and which outputs in which form.

    Parameters
    ----------
    columns
        Cells by column, as many each.
    outputs
        Name of each output that is wanted → whether as raw bytes; None: all.
    binary
        Whether outputs that are not named are wanted as raw bytes.
    """

    def __init__(
        self, columns: dict[str, list[Any]], request_id: str | None, outputs: dict[str, bool] | None, binary: bool
    ) -> None:
        self.columns, self.request_id, self.outputs, self.binary = columns, request_id, outputs, binary


def parse(body: bytes, header_length: str | None) -> Asked:
    """Return what a request asks for.

    Raises
    ------
    RequestError
        400 for anything but version 2's request.
    """
    size = len(body)
    if header_length is not None:
        digits = header_length.isascii() and header_length.isdigit() and len(header_length) < 10
        if not digits or int(header_length) > len(body):
            raise RequestError(400, "the header's length is wrong", where=HEADER_LENGTH, seen=header_length)
        size = int(header_length)
    content = parse_json(body[:size])
    inputs = content.get("inputs") if isinstance(content, dict) else None
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise RequestError(400, "the body has the wrong shape", expected='{"inputs": [{name, shape, datatype, data}]}')
    tail = memoryview(body)[size:]
    columns: dict[str, list[Any]] = {}
    for given in inputs:
        name, used = given.get("name"), _parameters(given).get("binary_data_size")
        if not isinstance(name, str) or name in columns:
            raise RequestError(400, "an input has no name of its own", seen=name, expected="the name of a column")
        if used is None:
            columns[name] = _of_json(given, name)
        else:
            if type(used) is not int or not 0 <= used <= len(tail):
                raise RequestError(400, "an input's bytes are not all there", where=name, seen=used)
            columns[name] = cells_of(
                bytes(tail[:used]), given.get("datatype"), count_of(given.get("shape"), name), name
            )
            tail = tail[used:]
    if len(tail):
        raise RequestError(400, "there are bytes of no input", seen=f"{len(tail)} bytes")
    binary = _parameters(content).get("binary_data_output") is True
    wanted = content.get("outputs")
    outputs = None
    if wanted is not None:
        if not isinstance(wanted, list) or not all(isinstance(each, dict) and "name" in each for each in wanted):
            raise RequestError(400, "the outputs have the wrong shape", expected='[{"name": …}]')
        outputs = {str(each["name"]): _parameters(each).get("binary_data", binary) is True for each in wanted}
    given_id = content.get("id")
    return Asked(columns, given_id if isinstance(given_id, str) else None, outputs, binary)


def write(asked: Asked, predicted: Predicted, model: str, request_id: str) -> tuple[bytes, int | None]:
    """Return the body of a response and, where raw bytes follow it, the length of its JSON part.

    Raises
    ------
    RequestError
        400 for an output that there is none of.
    """
    outputs = tensors(predicted.outputs)
    names = list(outputs) if asked.outputs is None else list(asked.outputs)
    parts: list[bytes] = []
    described = []
    for name in names:
        if name not in outputs:
            raise RequestError(400, "there is no such output", seen=name, expected=", ".join(outputs))
        datatype, dimensions, cells = outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": dimensions}
        if asked.binary if asked.outputs is None else asked.outputs[name]:
            raw = bytes_of(datatype, cells)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            parts.append(raw)
        else:
            tensor["data"] = cells
        described.append(tensor)
    content = {
        "model_name": model,
        "model_version": str(predicted.version),
        "id": asked.request_id or request_id,
        "parameters": {"warnings": len(predicted.warnings)},
        "outputs": described,
    }
    head = _encode(content)
    return (b"".join([head, *parts]), len(head)) if parts else (head, None)


def metadata(model: str, versions: list[int], shape: Shape) -> dict[str, Any]:
    """Return what the protocol tells of a model: inputs and outputs with their types."""
    kinds = {"number": "FP64"}
    columns = {column["name"]: column["kind"] for column in shape.facts["columns"]}
    classes, task = shape.facts["classes"], shape.facts["task"]
    label = {"name": "prediction", "datatype": "FP64" if task == "regression" else "BYTES", "shape": [-1]}
    outputs = [{"name": "components", "datatype": "FP64", "shape": [-1, -1]}] if task == "reduction" else [label]
    if classes:
        outputs.append({"name": "probability", "datatype": "FP64", "shape": [-1]})
    if len(classes) > 2:
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(classes)]})
    return {
        "name": model,
        "versions": [str(version) for version in versions],
        "platform": "aimass",
        "inputs": [
            {"name": name, "datatype": kinds.get(columns.get(name, ""), "BYTES"), "shape": [-1, 1]}
            for name in shape.requested
        ],
        "outputs": outputs,
    }


def tensors(outputs: dict[str, Any]) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Return for each output its type, shape and cells in one row-major list."""
    found: dict[str, tuple[str, list[int], list[Any]]] = {}
    for name, values in outputs.items():
        if isinstance(values, dict):
            rows = list(zip(*values.values(), strict=True))
            found[name] = ("FP64", [len(rows), len(values)], [cell for row in rows for cell in row])
        elif values and isinstance(values[0], list):
            found[name] = ("FP64", [len(values), len(values[0])], [cell for row in values for cell in row])
        else:
            found[name] = ("BYTES" if values and isinstance(values[0], str) else "FP64", [len(values)], values)
    return found


def bytes_of(datatype: str, cells: list[Any]) -> bytes:
    """Return cells as the protocol's raw bytes."""
    if datatype != "BYTES":
        return np.asarray(cells, dtype=NUMBERS[datatype]).tobytes()
    return b"".join(LENGTH.pack(len(raw)) + raw for raw in (cell.encode() for cell in cells))


def count_of(shape: Any, name: str) -> int:
    """Return n of a shape [n] or [n, 1].

    Raises
    ------
    RequestError
        400 for another one.
    """
    known = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not known or not 1 <= len(shape) <= 2 or (len(shape) == 2 and shape[1] != 1):
        raise RequestError(400, "an input has the wrong shape", where=name[:80], seen=shape, expected="[n, 1] or [n]")
    if shape[0] > MAX_ROWS:
        raise RequestError(400, "wrong number of rows", where=name[:80], seen=shape, expected=f"1 to {MAX_ROWS} rows")
    return int(shape[0])


def cells_of(raw: bytes, datatype: Any, count: int, name: str) -> list[Any]:
    """Return the cells of a tensor of raw bytes; NaN, and the words for it, are None.

    A 32-bit number becomes the shortest decimal that it is written with, which is what its sender meant.

    Raises
    ------
    RequestError
        400 for an unknown type, or bytes that are not ``count`` cells.
    """
    if datatype == "BYTES":
        return _texts(raw, count, name)
    kind = NUMBERS.get(datatype) if isinstance(datatype, str) else None
    if kind is None:
        raise RequestError(
            400, "an input has an unknown type", where=name[:80], seen=datatype, expected=f"BYTES, {', '.join(NUMBERS)}"
        )
    if len(raw) != count * np.dtype(kind).itemsize:
        raise RequestError(
            400,
            "an input's bytes do not fit its shape",
            where=name[:80],
            seen=f"{len(raw)} bytes",
            expected=f"{count} cells",
        )
    values = np.frombuffer(raw, dtype=kind)
    if kind in ("<f4", "<f2"):
        values = values.astype(str).astype(np.float64)
    return [None if cell != cell else cell for cell in values.tolist()] if kind[-2] == "f" else values.tolist()


def _texts(raw: bytes, count: int, name: str) -> list[Any]:
    found: list[Any] = []
    start = 0
    try:
        while start < len(raw):
            if len(found) > count:
                raise ValueError("there are more texts than the shape says")
            (size,) = LENGTH.unpack_from(raw, start)
            end = start + LENGTH.size + size
            if end > len(raw):
                raise ValueError("a text is cut off")
            text = raw[start + LENGTH.size : end].decode("utf-8")
            found.append(None if text in MISSING else text)
            start = end
    except (struct.error, ValueError) as error:
        raise RequestError(400, "an input's texts cannot be read", where=name[:80], seen=error) from None
    if len(found) != count:
        raise RequestError(
            400, "an input's bytes do not fit its shape", where=name[:80], seen=f"{len(found)} texts", expected=count
        )
    return found


def plain_cells(cells: list[Any], datatype: str, name: str) -> list[Any]:
    """Return the cells of a tensor of typed contents as :func:`cells_of` returns those of raw bytes.

    Raises
    ------
    RequestError
        400 for bytes that are no text.
    """
    if datatype != "BYTES":
        try:
            return cells_of(np.asarray(cells, dtype=NUMBERS[datatype]).tobytes(), datatype, len(cells), name)
        except (KeyError, OverflowError) as error:
            raise RequestError(400, "an input's contents do not fit its type", where=name[:80], seen=error) from None
    try:
        texts = [cell.decode("utf-8") for cell in cells]
    except UnicodeError as error:
        raise RequestError(400, "an input's texts cannot be read", where=name[:80], seen=error) from None
    return [None if text in MISSING else text for text in texts]


def _of_json(given: dict[str, Any], name: str) -> list[Any]:
    cells = given.get("data")
    datatype = given.get("datatype")
    count = count_of(given.get("shape"), name)
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in NUMBERS):
        raise RequestError(400, "an input has an unknown type", where=name[:80], seen=datatype)
    if isinstance(cells, list) and set(map(type, cells)) == {list}:
        cells = [row[0] for row in cells] if all(len(row) == 1 for row in cells) else None
    if not isinstance(cells, list) or len(cells) != count:
        seen = len(cells) if isinstance(cells, list) else type(cells).__name__
        raise RequestError(400, "an input's data do not fit its shape", where=name[:80], seen=seen, expected=count)
    if datatype == "BYTES":
        return [None if isinstance(cell, str) and cell in MISSING else cell for cell in cells]
    return [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    parameters = given.get("parameters")
    return parameters if isinstance(parameters, dict) else {}
