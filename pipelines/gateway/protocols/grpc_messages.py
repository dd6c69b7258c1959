"""The messages of the Open Inference Protocol over gRPC, described in Python: package ``inference``, version 2.

Field numbers are those of the protocol's specification. The descriptors live in a pool of their own, so that a client
library with generated code may be imported beside them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bool": _FIELD.TYPE_BOOL, "int32": _FIELD.TYPE_INT32, "int64": _FIELD.TYPE_INT64, "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64, "float": _FIELD.TYPE_FLOAT, "double": _FIELD.TYPE_DOUBLE,
    "string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES,
}  # fmt: skip
_NAMED = "name:string version:string"
MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool",
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": "ready:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string version:string extensions:string*",
    "ModelMetadataRequest": _NAMED,
    "TensorMetadata": "name:string datatype:string shape:int64*",
    "ModelMetadataResponse": (
        "name:string versions:string* platform:string inputs:TensorMetadata* outputs:TensorMetadata*"
    ),
    "InferParameter": (
        "bool_param:bool? int64_param:int64? string_param:string? double_param:double? uint64_param:uint64?"
    ),
    "InferTensorContents": (
        "bool_contents:bool* int_contents:int32* int64_contents:int64* uint_contents:uint32* uint64_contents:uint64* "
        "fp32_contents:float* fp64_contents:double* bytes_contents:bytes*"
    ),
    "InferInputTensor": "name:string datatype:string shape:int64* parameters:{} contents:InferTensorContents",
    "InferRequestedOutputTensor": "name:string parameters:{}",
    "InferOutputTensor": "name:string datatype:string shape:int64* parameters:{} contents:InferTensorContents",
    "ModelInferRequest": (
        "model_name:string model_version:string id:string parameters:{} inputs:InferInputTensor* "
        "outputs:InferRequestedOutputTensor* raw_input_contents:bytes*"
    ),
    "ModelInferResponse": (
        "model_name:string model_version:string id:string parameters:{} outputs:InferOutputTensor* "
        "raw_output_contents:bytes*"
    ),
}
"""Fields in the order of their numbers: ``*`` repeated, ``?`` one of several, ``{}`` a map of InferParameter."""
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Which member of a tensor's contents holds cells of a type; FP16 has raw contents alone."""


@cache
def classes() -> dict[str, Any]:
    """Return the class of each message."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="open_inference_grpc.proto", package="inference", syntax="proto3")
    for name, fields in MESSAGES.items():
        _describe(file.message_type.add(name=name), fields)
    found = pool.Add(file)
    assert found is None or found.name == file.name
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in MESSAGES}


def _describe(message: Any, fields: str) -> None:
    for number, text in enumerate(fields.split(), 1):
        name, _, kind = text.partition(":")
        repeated = kind.endswith("*") or kind == "{}"
        label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        field = message.field.add(name=name, number=number, label=label)
        plain = kind.rstrip("*?")
        if kind == "{}":
            entry = message.nested_type.add(name="ParametersEntry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
            value = entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_MESSAGE)
            value.type_name = ".inference.InferParameter"
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".inference.{message.name}.ParametersEntry"
        elif plain in _TYPES:
            field.type = _TYPES[plain]
        else:
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".inference.{plain}"
        if kind.endswith("?"):
            if not message.oneof_decl:
                message.oneof_decl.add(name="parameter_choice")
            field.oneof_index = 0
