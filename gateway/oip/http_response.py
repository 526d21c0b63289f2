"""A REST inference answer: JSON, and after it the outputs that were wanted binary."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.oip.http_request import HttpInfer
from gateway.web.problems import Answer, Headers
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.json_tensors import to_json
from protos.tensors import decode_raw

_SERIALISE = orjson.OPT_SERIALIZE_NUMPY


def render_infer(response: pb.ModelInferResponse, asked: HttpInfer) -> Answer:
    """Return the answer in the form that was asked for."""
    # Any: JSON as it goes out
    document: dict[str, Any] = {
        "model_name": response.model_name,
        "model_version": response.model_version,
    }
    if response.id:
        document["id"] = response.id
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    raws = response.raw_output_contents
    for index, output in enumerate(response.outputs):
        shown: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        raw = raws[index]
        if asked.binary.get(output.name, asked.binary_default):
            shown["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            datatype = DATATYPES[output.datatype]
            array = decode_raw(raw, datatype, output.shape, tensor=output.name)
            shown["data"] = to_json(array.ravel(), datatype)
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
