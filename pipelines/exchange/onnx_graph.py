"""An ONNX file before it is trusted: size, structure, nothing outside it, only the operators of the standard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import DataError, SpecError

MAX_BYTES = 500 << 20
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Operators of the standard; those of a runtime's maker may mean something else in the next release."""
RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
"""Operators that predict otherwise each time."""


def read_graph(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return the bytes of an ONNX file that may be served.

    Raises
    ------
    SpecError
        The packages for it are not installed.
    DataError
        It is none, too large, names data outside it, or has operators that are not of the standard; all faults at once.
    """
    onnx = needed("onnx")
    size = path.stat().st_size
    if size > most:
        raise DataError("the ONNX file is too large", where=str(path), seen=f"{size} bytes", expected=f"at most {most}")
    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # noqa: BLE001 - what a parser says of a file has no common base
        raise DataError(
            "the file is no ONNX model",
            where=str(path),
            seen=f"{type(error).__name__}: {str(error)[:200]}",
            cure="export it again; docs/guides/import-and-export.md names converters",
        ) from None
    faults = list(_faults(onnx, model))
    if not faults:
        try:
            onnx.checker.check_model(model)
        except Exception as error:  # noqa: BLE001 - whatever the checker says of a file is a fault of the file
            faults = [f"it is not valid: {str(error).strip()[:300]}"]
    if faults:
        raise DataError(
            "this ONNX model cannot be served",
            where=str(path),
            expected="one file with operators of the ONNX standard",
            cure="export it again as each line says",
            faults=faults,
        )
    return content


def needed(name: str) -> Any:
    """Import a package of the extra ``exchange``.

    Raises
    ------
    SpecError
        It is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise SpecError(
            f"this needs the package {name}", seen="it is not installed", cure="uv pip install 'aimass[exchange]'"
        ) from None


def _faults(onnx: Any, model: Any) -> Iterator[str]:
    if not model.graph.node:
        yield "it has no operators"
    own = {(function.domain, function.name) for function in model.functions}
    external = set()
    for tensor in _tensors(onnx, model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            external.add(tensor.name or "(a constant)")
    if external:
        named = ", ".join(sorted(external)[:5])
        yield f"{len(external)} tensors lie in other files ({named}): save it as one file, without external data"
    for domain, operator in sorted(
        {(node.domain, node.op_type) for node in _nodes(onnx, model)} - own, key=lambda pair: pair[::-1]
    ):
        if domain not in DOMAINS:
            yield f"operator {operator} of {domain} is not of the standard: export without it"
        elif operator in RANDOM:
            yield f"operator {operator} predicts otherwise each time: export the model in its evaluation mode"


def _graphs(onnx: Any, model: Any) -> Iterator[Any]:
    """Yield the graph, those inside its operators, and functions, whose nodes are in ``node`` too."""
    open_ones = [model.graph, *model.functions]
    while open_ones:
        graph = open_ones.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                open_ones += [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else []
                open_ones += list(attribute.graphs)


def _nodes(onnx: Any, model: Any) -> Iterator[Any]:
    for graph in _graphs(onnx, model):
        yield from graph.node


def _tensors(onnx: Any, model: Any) -> Iterator[Any]:
    for graph in _graphs(onnx, model):
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        yield from getattr(graph, "initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.type == onnx.AttributeProto.TENSOR else [])
                yield from attribute.tensors
                for sparse in (*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                               *attribute.sparse_tensors):  # fmt: skip
                    yield from (sparse.values, sparse.indices)
