"""Parses inference requests of REST: JSON, and binary tensors behind it.

The body is JSON, or, with `Inference-Header-Content-Length`, that many bytes of JSON and then the
raw bytes of the inputs that say `binary_data_size`, in order (Triton, extension_binary_data.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway.errors import GatewayError
from gateway.web.json_body import check_depth
from protos import large_json
from protos import open_inference_pb2 as pb
from protos.datatypes import Datatype, get_datatype
from protos.errors import ErrorCode, TensorError
from protos.json_tensors import from_json
from protos.message_templates import RawBytes
from protos.tensors import element_count, encode_raw

HEADER_LENGTH = b"inference-header-content-length"
_MAX_DIGITS = 18
_UNSUPPORTED_PARAMETERS = ("classification", "shared_memory_region")
_RESERVED = frozenset({"binary_data_output", "binary_data", "binary_data_size"})

# Any: parsed JSON
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedInferRequest:
    """A request, and the requested format of its outputs."""

    request: pb.ModelInferRequest
    """Without contents."""
    raws: list[RawBytes]
    """The bytes of its inputs; binary ones are views of the body."""
    binary_default: bool
    binary: Mapping[str, bool]
    """By output, if requested."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without protobuf's classes: they name no module, so pickle searches all of them.

        That takes half a millisecond.
        """
        written = self.request.SerializeToString()
        return _unpickled, (written, self.raws, self.binary_default, self.binary)


def _unpickled(
    request: bytes, raws: list[RawBytes], binary_default: bool, binary: Mapping[str, bool]
) -> ParsedInferRequest:
    return ParsedInferRequest(
        request=pb.ModelInferRequest.FromString(request),
        raws=raws,
        binary_default=binary_default,
        binary=binary,
    )


def parse_infer(body: bytes, headers: Mapping[bytes, bytes]) -> ParsedInferRequest:
    """Parse a body; the model's name and version come from the URL.

    Raises:
        GatewayError: INVALID_JSON, INVALID_REQUEST, UNSUPPORTED_MEDIA_TYPE, NOT_IMPLEMENTED.
        TensorError: a tensor's data does not match its datatype or shape.
    """
    head, rest = _split(body, headers)
    document = _document(head)
    request = pb.ModelInferRequest(id=_text(document.get("id", ""), "id"))
    parameters = _object(document.get("parameters"), "parameters")
    _add_parameters(request.parameters, parameters)
    raws: list[RawBytes] = []
    inputs = document.get("inputs")
    if type(inputs) is not list:
        raise _invalid("inputs: expected an array of tensors")
    for index, tensor in enumerate(inputs):
        rest = _add_input(request, raws, _object(tensor, f"inputs[{index}]"), rest)
    if len(rest):
        raise _invalid(f"expected no bytes after the last binary input, got {len(rest)}")
    return ParsedInferRequest(
        request=request,
        raws=raws,
        binary_default=_flag(parameters, "binary_data_output"),
        binary=_add_outputs(request, document.get("outputs")),
    )


def parse_infer_copied(body: bytes, headers: Mapping[bytes, bytes]) -> ParsedInferRequest:
    """Return what `parse_infer` returns, without views of the body; raises as it does."""
    parsed = parse_infer(body, headers)
    return replace(parsed, raws=[bytes(raw) for raw in parsed.raws])


def json_size(body: bytes, headers: Mapping[bytes, bytes]) -> int:
    """Return how many bytes of a body are JSON, as far as its headers are valid."""
    length = headers.get(HEADER_LENGTH, b"")
    is_valid = length.isdigit() and len(length) <= _MAX_DIGITS
    return min(int(length), len(body)) if is_valid else len(body)


def parse_index(body: bytes) -> bool:
    """Return whether a request for the index is limited to ready models.

    Raises:
        GatewayError: INVALID_JSON, INVALID_REQUEST.
    """
    return _flag(_document(body), "ready") if body else False


def _split(body: bytes, headers: Mapping[bytes, bytes]) -> tuple[bytes, memoryview]:
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        shown = encoding.decode("latin-1")[:40]
        message = f"Content-Encoding: expected none, got '{shown}'"
        raise GatewayError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    length = headers.get(HEADER_LENGTH)
    if length is None:
        return body, memoryview(b"")
    if not length.isdigit() or len(length) > _MAX_DIGITS or int(length) > len(body):
        shown = length.decode("latin-1")[:40]
        raise _invalid(f"Inference-Header-Content-Length: expected 0 to {len(body)}, got '{shown}'")
    return body[: int(length)], memoryview(body)[int(length) :]


def _document(head: bytes) -> Json:
    try:
        if len(head) >= large_json.LARGE_BYTES:
            document = large_json.loads(head, check_depth)
        else:
            check_depth(head)
            document = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        message = f"the body is not JSON: {error}"
        raise GatewayError(ErrorCode.INVALID_JSON, message) from None
    return _object(document, "the body", empty=False)


def _add_input(
    request: pb.ModelInferRequest, raws: list[RawBytes], tensor: Json, rest: memoryview
) -> memoryview:
    """Add one input; return the rest of the binary part."""
    name = _text(tensor.get("name"), "an input's name")
    datatype = get_datatype(_text(tensor.get("datatype"), f"'{name}' datatype"), tensor=name)
    shape = tensor.get("shape")
    if type(shape) is not list or not all(type(size) is int for size in shape):
        raise TensorError(f"tensor '{name}': shape: expected an array of whole numbers")
    element_count(shape, tensor=name)
    parameters = _object(tensor.get("parameters"), f"'{name}' parameters")
    added = request.inputs.add(name=name, datatype=datatype.name, shape=shape)
    _add_parameters(added.parameters, parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        raws.append(_json_data(tensor, datatype, shape, name))
        return rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise TensorError(
            f"tensor '{name}': binary_data_size: expected 0 to {len(rest)}, the remaining "
            f"bytes, got {size!r}"
        )
    if "data" in tensor:
        raise TensorError(f"tensor '{name}': expected data or binary_data_size, got both")
    raws.append(rest[:size])
    return rest[size:]


def _json_data(tensor: Json, datatype: Datatype, shape: list[int], name: str) -> bytes:
    if "data" not in tensor:
        raise TensorError(f"tensor '{name}': expected data, or the parameter binary_data_size")
    return encode_raw(from_json(tensor["data"], datatype, tensor=name, shape=shape), datatype)


def _add_outputs(request: pb.ModelInferRequest, outputs: object) -> dict[str, bool]:
    """Add the requested outputs; return which of them are requested as binary."""
    if outputs is None:
        return {}
    if type(outputs) is not list:
        raise _invalid("outputs: expected an array of objects with a name")
    binary: dict[str, bool] = {}
    for index, output in enumerate(outputs):
        entry = _object(output, f"outputs[{index}]")
        name = _text(entry.get("name"), f"outputs[{index}].name")
        parameters = _object(entry.get("parameters"), f"outputs[{index}].parameters")
        added = request.outputs.add(name=name)
        _add_parameters(added.parameters, parameters)
        if "binary_data" in parameters:
            binary[name] = _flag(parameters, "binary_data")
    return binary


def _add_parameters(target: Any, parameters: Json) -> None:  # Any: protobuf's map container
    for name, value in parameters.items():
        if name in _UNSUPPORTED_PARAMETERS:
            message = f"parameter '{name}' is not offered by this server"
            raise GatewayError(ErrorCode.NOT_IMPLEMENTED, message)
        if name in _RESERVED:
            continue
        match value:
            case bool():
                target[name].bool_param = value
            case int() if -(2**63) <= value < 2**63:
                target[name].int64_param = value
            case int() if value > 0:
                target[name].uint64_param = value
            case float():
                target[name].double_param = value
            case str():
                target[name].string_param = value
            case _:
                raise _invalid(f"parameter '{name}': expected a string, number or boolean")


def _flag(parameters: Json, name: str) -> bool:
    value = parameters.get(name, False)
    if type(value) is not bool:
        raise _invalid(f"parameter '{name}': expected true or false")
    return value


def _object(value: object, where: str, *, empty: bool = True) -> Json:
    if value is None and empty:
        return {}
    if type(value) is not dict:
        raise _invalid(f"{where}: expected an object")
    return value


def _text(value: object, where: str) -> str:
    if type(value) is not str:
        raise _invalid(f"{where}: expected a string")
    return value


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)
