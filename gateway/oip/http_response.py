"""Renders responses of REST: JSON, and binary outputs behind it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import orjson
from google.protobuf.message import Message

from gateway.oip.http_request import ParsedInferRequest
from gateway.upstream.inference_stream import InferenceReply
from gateway.web.large_tensors import LARGE_OUTPUT_BYTES, in_parts, joined
from gateway.web.problems import Answer, Headers
from protos.datatypes import Datatype, get_datatype
from protos.json_tensors import dump_in_parts, dump_tensor, to_json
from protos.tensors import decode_raw, element_count

_SERIALISE = orjson.OPT_SERIALIZE_NUMPY
_WRITTEN = orjson.Fragment(b"")
_PLACE = b"\0"
"""Stands for a large output until all are joined on a thread; JSON escapes it elsewhere."""


async def render_infer(reply: InferenceReply, request: ParsedInferRequest) -> Answer:
    """Return the response in the requested format; in JSON, NaN and infinities are strings.

    Other calls go on while large outputs are written as JSON.

    Raises:
        TensorError: an output does not match its datatype or shape.
    """
    form, message = reply.template, reply.message
    # Any: values of JSON
    document: dict[str, Any] = {"model_name": form.model, "model_version": form.version}
    if request.request.id:
        document["id"] = request.request.id
    outputs: list[dict[str, Any]] = []
    large: list[list[bytes]] = []
    tail: list[memoryview] = []
    view = memoryview(message)
    for (name, datatype, shape), (start, end) in zip(form.tensors, form.outputs, strict=True):
        shown: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        raw = view[start:end]
        if request.binary.get(name, request.binary_default):
            shown["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            kind = get_datatype(datatype, tensor=name)
            if len(raw) > LARGE_OUTPUT_BYTES:
                flat = (element_count(shape, tensor=name),)
                parts = dump_in_parts(raw, kind, flat, dump_tensor, tensor=name)
                large.append(await in_parts(parts))
                shown["data"] = orjson.Fragment(_PLACE)
            else:
                shown["data"] = _flat_json(raw, kind, shape, name)
        outputs.append(shown)
    document["outputs"] = outputs
    head = orjson.dumps(document, option=_SERIALISE)
    if b"null" in head:  # what orjson makes of NaN and infinities
        for shown in outputs:
            if not isinstance(shown.get("data", _WRITTEN), orjson.Fragment):
                shown["data"] = orjson.Fragment(dump_tensor(shown["data"]))
        head = orjson.dumps(document, option=_SERIALISE)
    if large:
        first, *others = head.split(_PLACE)
        filled = zip(large, others, strict=True)
        head = await joined((first, *chain.from_iterable((*parts, rest) for parts, rest in filled)))
    if not tail:
        return 200, [(b"content-type", b"application/json")], head
    headers: Headers = [
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", b"%d" % len(head)),
    ]
    body: tuple[bytes | memoryview, ...] = (head, *tail)
    is_large = sum(map(len, body)) > LARGE_OUTPUT_BYTES
    return 200, headers, await joined(body) if is_large else b"".join(body)


def _flat_json(raw: memoryview, datatype: Datatype, shape: Sequence[int], tensor: str) -> object:
    return to_json(decode_raw(raw, datatype, shape, tensor=tensor).ravel(), datatype)


def as_json(message: Message) -> dict[str, Any]:
    """Return a message as Triton's REST interface does: fields by name, including 0 and empty ones.

    Unlike protobuf's JSON it has 64-bit numbers as numbers. Fields with presence are omitted if
    they are not set. Maps and bytes are not supported. Any, here and below: values and descriptors.
    """
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _value(field: Any, value: Any) -> Any:
    if field.is_repeated:
        return [_one(field, item) for item in value]
    return _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return as_json(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value
