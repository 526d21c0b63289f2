"""A REST inference answer: JSON, and after it the outputs that were wanted binary."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.oip.http_request import ParsedInferRequest
from gateway.upstream.inference_stream import InferenceReply
from gateway.web.problems import Answer, Headers
from protos.datatypes import get_datatype
from protos.json_tensors import to_json
from protos.tensors import decode_raw

_SERIALISE = orjson.OPT_SERIALIZE_NUMPY


def render_infer(reply: InferenceReply, asked: ParsedInferRequest) -> Answer:
    """Return the answer in the form that was asked for.

    Raises:
        TensorError: an output is not what the inference server says of it.
    """
    form, message = reply.template, reply.message
    # Any: JSON as it goes out
    document: dict[str, Any] = {"model_name": form.model, "model_version": form.version}
    if asked.request.id:
        document["id"] = asked.request.id
    outputs: list[dict[str, Any]] = []
    tail: list[memoryview] = []
    view = memoryview(message)
    for (name, datatype, shape), (start, end) in zip(form.tensors, form.outputs, strict=True):
        shown: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        raw = view[start:end]
        if asked.binary.get(name, asked.binary_default):
            shown["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            kind = get_datatype(datatype, tensor=name)
            array = decode_raw(raw, kind, shape, tensor=name)
            shown["data"] = to_json(array.ravel(), kind)
        outputs.append(shown)
    document["outputs"] = outputs
    head = orjson.dumps(document, option=_SERIALISE)
    if not tail:
        return 200, [(b"content-type", b"application/json")], head
    headers: Headers = [
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", b"%d" % len(head)),
    ]
    return 200, headers, b"".join((head, *tail))
