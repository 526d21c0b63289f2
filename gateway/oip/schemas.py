"""The protocol's JSON for the OpenAPI document; `http_request.py` parses it."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict

Parameters = dict[str, str | int | float | bool]


class V2Error(BaseModel):
    """An error."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    error: str
    """What was expected, what came, what to do."""


class ServerMetadata(BaseModel):
    """Name, version and extensions of the server."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Always `slipstream`."""
    version: str
    """Version of Slipstream."""
    extensions: list[str]
    """The extensions of the protocol that are offered, such as `binary_tensor_data`."""


class ServerLive(BaseModel):
    """Whether the gateway is alive."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    live: bool
    """Always true: a gateway that is not alive does not answer."""


class ServerReady(BaseModel):
    """Whether the gateway is ready; `/readyz` says why it is not."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ready: bool
    """Whether the gateway is ready to answer calls."""


class ModelReady(BaseModel):
    """Whether a model is ready."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the model."""
    ready: bool
    """Whether the model answers calls."""


class ModelNames(BaseModel):
    """The models with inference servers."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    models: list[str]
    """Names of the models with inference servers, ready or not, that the caller may use."""


class TensorMetadata(BaseModel):
    """An input or output; -1 in a shape means any size."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the tensor."""
    datatype: str
    """Of the Open Inference Protocol: FP32, INT64, BYTES…"""
    shape: list[int]
    """The size of each dimension; -1 is any size."""


class ModelMetadata(BaseModel):
    """A model's inputs and outputs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the model."""
    versions: list[str]
    """Numbers of the versions that are ready, as text."""
    platform: str
    """The platform's name in the protocol, such as `onnxruntime_onnx`."""
    inputs: list[TensorMetadata]
    """The tensors that calls give."""
    outputs: list[TensorMetadata]
    """The tensors that calls get."""
    properties: dict[str, str]
    """More about the model, where there is any: `class_labels`, `unsupported_inputs`,
    `unsupported_outputs`."""


class InferInput(BaseModel):
    """An input tensor."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the tensor."""
    datatype: str
    """Of the Open Inference Protocol: FP32, INT64, BYTES…"""
    shape: list[int]
    """The size of each dimension."""
    parameters: Parameters | None = None
    """`binary_data_size`: how many bytes after the JSON are the values, in place of `data`."""
    # Any: numbers, booleans or strings, flat or nested
    data: list[Any] | None = None
    """The values in row-major order, flat or nested; NaN and infinities as strings."""


class RequestedOutput(BaseModel):
    """A requested output."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the tensor."""
    parameters: Parameters | None = None
    """`binary_data`: whether the values follow the JSON of the response as bytes."""


class InferRequest(BaseModel):
    """An inference request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str = ""
    """An id of the caller's choice, which the response has, too."""
    parameters: Parameters | None = None
    """`binary_data_output`: whether outputs are bytes by default; `timeout`, in microseconds;
    `sequence_id`: calls with the same one go to the same replica."""
    inputs: list[InferInput]
    """The tensors that the model takes; optional ones may be left out."""
    outputs: list[RequestedOutput] | None = None
    """The outputs to return; null: all."""


class InferOutput(BaseModel):
    """An output tensor."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the tensor."""
    datatype: str
    """Of the Open Inference Protocol: FP32, INT64, BYTES…"""
    shape: list[int]
    """The size of each dimension."""
    parameters: Parameters | None = None
    """`binary_data_size`: how many bytes after the JSON are the values, in place of `data`."""
    # Any: as above, flat
    data: list[Any] | None = None
    """The values in row-major order, flat; NaN and infinities as strings."""


class InferResponse(BaseModel):
    """An inference response."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model_name: str
    """Name of the model."""
    model_version: str
    """Number of the model version, as text."""
    id: str | None = None
    """That of the request; absent: it had none."""
    outputs: list[InferOutput]
    """The tensors that the model returned."""


class IndexRequest(BaseModel):
    """A filter of the index."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"examples": [{"ready": True}]}
    )

    ready: bool = False
    """Whether to list only models that are ready."""


class IndexedModel(BaseModel):
    """A model and its state."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the model."""
    version: str
    """Number of the model version, as text."""
    state: str
    """`READY`, `LOADING`, `UNLOADING` or `UNAVAILABLE`."""
    reason: str
    """Why it is not ready; empty: it is."""


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
