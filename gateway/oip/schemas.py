"""The protocol's JSON, as the OpenAPI document shows it; `http_request.py` and others read it."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from pydantic import BaseModel

Parameters = dict[str, str | int | float | bool]


class V2Error(BaseModel):
    """Why a call failed."""

    error: str


class ServerMetadata(BaseModel):
    """Who answers."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the gateway lives."""

    live: bool


class ServerReady(BaseModel):
    """Whether the gateway takes calls, and why not."""

    ready: bool
    reasons: list[str] | None = None


class ModelReady(BaseModel):
    """Whether calls for a model are answered."""

    name: str
    ready: bool


class ModelNames(BaseModel):
    """The models that are served."""

    models: list[str]


class TensorMetadata(BaseModel):
    """What a model takes or gives; -1 in a shape means any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


class InferInput(BaseModel):
    """A tensor that comes in."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    # Any: numbers, booleans or strings, flat or nested
    data: list[Any] | None = None


class RequestedOutput(BaseModel):
    """A tensor that is wanted."""

    name: str
    parameters: Parameters | None = None


class InferRequest(BaseModel):
    """A call of a model."""

    id: str = ""
    parameters: Parameters | None = None
    inputs: list[InferInput]
    outputs: list[RequestedOutput] | None = None


class InferOutput(BaseModel):
    """A tensor that goes out."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    # Any: as above, flat
    data: list[Any] | None = None


class InferResponse(BaseModel):
    """The answer of a model."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class IndexRequest(BaseModel):
    """Which models the index shall show."""

    ready: bool = False


class IndexedModel(BaseModel):
    """A model and its state."""

    name: str
    version: str
    state: str
    reason: str


# Any, here and below: descriptors of all kinds, and JSON schemas
def schema_of(message: type[Message]) -> dict[str, Any]:
    """Return the JSON schema of what `as_json` makes of such a message."""
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
