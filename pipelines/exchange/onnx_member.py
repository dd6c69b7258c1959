"""An ONNX graph as a member: which of its inputs takes which column, and which output is the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.errors import DataError, SpecError
from pipelines.exchange.contract import Contract
from pipelines.inference.members.onnx import DTYPES, OnnxMember, session

FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})


def onnx_member(graph: bytes, contract: Contract) -> OnnxMember:
    """Return the member of a graph that was checked.

    Raises
    ------
    DataError
        The runtime cannot load it, or it takes one fixed number of rows.
    SpecError
        The schema does not say what its inputs or its output are, or does not fit them.
    """
    try:
        opened = session(graph)
    except SpecError:
        raise
    except Exception as error:  # noqa: BLE001 - what a parser says of a file has no common base
        raise DataError(
            "onnxruntime cannot load the model",
            seen=f"{type(error).__name__}: {str(error)[:300]}",
            cure="export it with an older opset",
        ) from None
    wanted = _inputs(opened.get_inputs(), contract)
    output, keys = _output(opened.get_outputs(), contract)
    positive = contract.classes.index(contract.positive_label) if contract.positive_label else 1
    entry = {
        "inputs": wanted,
        "output": output,
        "scores": contract.output.scores if contract.classes else "values",
        "classes": len(contract.classes),
        "positive": positive,
        **({"keys": keys} if keys else {}),
    }
    return OnnxMember(graph, entry)


def _inputs(graph: Sequence[Any], contract: Contract) -> list[dict[str, Any]]:
    known = {each.name: each for each in graph}
    if contract.inputs:
        taken = {each.name: list(each.columns) for each in contract.inputs}
    elif len(graph) == 1 and (len(contract.columns) > 1 or graph[0].name not in contract.names):
        taken = {graph[0].name: contract.names}
    else:
        taken = {name: [name] for name in known if name in contract.names}
    faults = [f"input {name!r} of the model gets no column" for name in known if name not in taken]
    faults += [f"the model has no input {name!r}" for name in taken if name not in known]
    used = {name for names in taken.values() for name in names}
    faults += [f"column {name!r} goes into no input" for name in contract.names if name not in used]
    for name, names in taken.items():
        faults += list(_misfits(known[name], names, contract)) if name in known else []
    if faults:
        raise SpecError(
            "the schema does not fit the inputs of the model",
            seen="; ".join(f"{each.name}: {each.type} {each.shape}" for each in graph)[:500],
            expected="one input that takes all columns in order, or one per column, named as that is",
            cure="correct `columns`, or say which input takes which columns: `inputs: [{name: …, columns: […]}]`",
            faults=faults,
        )
    return [_entry(known[name], names, contract) for name, names in taken.items()]


def _misfits(given: Any, names: Sequence[str], contract: Contract) -> list[str]:
    where, shape = f"input {given.name!r}", list(given.shape)
    if given.type not in DTYPES:
        return [f"{where} is {given.type}, which no column can be given as"]
    if len(shape) not in (1, 2):
        return [f"{where} has the shape {shape}: (rows, columns) can be given"]
    faults = []
    if isinstance(shape[0], int):
        faults.append(f"{where} takes {shape[0]} rows at a time: export it with a dynamic first axis")
    width = 1 if len(shape) == 1 else shape[1]
    if isinstance(width, int) and width != len(names):
        faults.append(f"{where} takes {width} columns, {len(names)} are given: {', '.join(names)[:200]}")
    for column in contract.columns:
        if column.name not in names:
            continue
        if given.type == "tensor(string)" and column.kind != "category":
            faults.append(f"{where} takes texts, and {column.name!r} is a {column.kind}")
        if given.type not in FLOATS and column.kind != "category" and column.fill is None:
            faults.append(f"{where} takes whole numbers, which cannot be missing: give {column.name!r} a `fill`")
    return faults


def _entry(given: Any, names: Sequence[str], contract: Contract) -> dict[str, Any]:
    places = [contract.names.index(name) for name in names]
    entry: dict[str, Any] = {"name": given.name, "type": given.type, "columns": places}
    if given.type == "tensor(string)":
        entry["texts"] = {str(place): list(contract.columns[place].levels) for place in places}
    return entry | ({"flat": True} if len(given.shape) == 1 else {})


def _output(graph: Sequence[Any], contract: Contract) -> tuple[str, list[Any]]:
    """Return the name of the output that is the prediction, and the keys where it is a list of maps."""
    fitting = [each for each in graph if _may_be(each, contract)]
    if contract.output.name is not None:
        fitting = [each for each in fitting if each.name == contract.output.name]
    if len(fitting) != 1:
        wanted = "numbers (rows, 1)" if not contract.classes else f"scores of {len(contract.classes)} classes"
        raise SpecError(
            "which output of the model is the prediction?" if fitting else "no output of the model is the prediction",
            where=contract.output.name or "",
            seen="; ".join(f"{each.name}: {each.type} {each.shape}" for each in graph)[:500],
            expected=wanted,
            cure="name it in the schema: `output: {name: …}`",
        )
    (chosen,) = fitting
    if not chosen.type.startswith("seq(map("):
        return chosen.name, []
    number = chosen.type.startswith("seq(map(int64")
    try:
        return chosen.name, [int(label) if number else label for label in contract.classes]
    except ValueError:
        raise SpecError(
            "the model numbers its classes, and the schema names them",
            where=chosen.name,
            seen=", ".join(contract.classes)[:200],
            expected="`classes` as the model has them: 0, 1 …",
            cure="export without ZipMap (`options={'zipmap': False}`), or write the numbers",
        ) from None


def _may_be(given: Any, contract: Contract) -> bool:
    if given.type.startswith("seq(map("):
        return bool(contract.classes)
    if given.type not in FLOATS and not (given.type in DTYPES and contract.output.name == given.name):
        return False
    shape = list(given.shape)
    width = shape[1] if len(shape) == 2 else 1
    if len(shape) > 2 or given.type == "tensor(string)":
        return False
    if not isinstance(width, int):
        return True
    return width in ({1, 2} if len(contract.classes) == 2 else {len(contract.classes) or 1})


def settle_batches(member: OnnxMember, rows: Any) -> float:
    """Have rows asked one by one where a row among others is predicted otherwise; return by how much it was.

    Parameters
    ----------
    rows
        (n, p) encoded rows.
    """
    together = member.predict(rows)
    single = np.concatenate([member.predict(rows[index : index + 1]) for index in range(len(rows))])
    apart = float(np.abs(together - single).max()) if len(rows) else 0.0
    if apart:
        member.entry["alone"] = True
    return apart
