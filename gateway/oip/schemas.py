"""The protocol's JSON for the OpenAPI document; `http_request.py` parses it."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from pydantic import BaseModel

Parameters = dict[str, str | int | float | bool]


class V2Error(BaseModel):
    """An error."""

    error: str


class ServerMetadata(BaseModel):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the gateway is alive."""

    live: bool


class ServerReady(BaseModel):
    """Whether the gateway is ready, and if not, why."""

    ready: bool
    reasons: list[str] | None = None
    degraded: list[str] | None = None


class ModelReady(BaseModel):
    """Whether a model is ready."""

    name: str
    ready: bool


class ModelNames(BaseModel):
    """The models with inference servers."""

    models: list[str]


class TensorMetadata(BaseModel):
    """An input or output; -1 in a shape means any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


class InferInput(BaseModel):
    """An input tensor."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    # Any: numbers, booleans or strings, flat or nested
    data: list[Any] | None = None


class RequestedOutput(BaseModel):
    """A requested output."""

    name: str
    parameters: Parameters | None = None


class InferRequest(BaseModel):
    """An inference request."""

    id: str = ""
    parameters: Parameters | None = None
    inputs: list[InferInput]
    outputs: list[RequestedOutput] | None = None


class InferOutput(BaseModel):
    """An output tensor."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    # Any: as above, flat
    data: list[Any] | None = None


class InferResponse(BaseModel):
    """An inference response."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class IndexRequest(BaseModel):
    """A filter of the index."""

    ready: bool = False


class IndexedModel(BaseModel):
    """A model and its state."""

    name: str
    version: str
    state: str
    reason: str


# Any, here and below: descriptors of all kinds, and JSON schemas
def schema_of(message: type[Message]) -> dict[str, Any]:
    """Return the JSON schema of `as_json` for a message type."""
    return _object(message.DESCRIPTOR)


def _object(descriptor: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [field.name for field in descriptor.fields if not field.has_presence],
        "properties": {field.name: _field(field) for field in descriptor.fields},
    }


def _field(field: Any) -> dict[str, Any]:
    one = _one(field)
    return {"type": "array", "items": one} if field.is_repeated else one


def _one(field: Any) -> dict[str, Any]:
    if field.message_type is not None:
        return _object(field.message_type)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    kinds = {
        field.CPPTYPE_STRING: "string",
        field.CPPTYPE_BOOL: "boolean",
        field.CPPTYPE_DOUBLE: "number",
        field.CPPTYPE_FLOAT: "number",
    }
    return {"type": kinds.get(field.cpp_type, "integer")}
