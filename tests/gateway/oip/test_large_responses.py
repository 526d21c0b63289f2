"""Large outputs under `/v2`, whose responses are joined off the event loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from gateway.oip.http_request import ParsedInferRequest
from gateway.oip.http_response import render_infer
from gateway.upstream.inference_stream import InferenceReply
from gateway.web.large_tensors import LARGE_OUTPUT_BYTES
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.json_tensors import dump_tensor, to_json
from protos.message_templates import InferResponseTemplate
from protos.tensors import encode_raw

LARGE = np.linspace(-1, 1, LARGE_OUTPUT_BYTES, dtype=np.float32).reshape(-1, 4)
LARGE[5, 1] = np.nan
TEXTS = np.empty(LARGE_OUTPUT_BYTES // 4, dtype=object)
TEXTS[:] = [b'"\0' for _ in range(TEXTS.size)]
SMALL = np.array([1.5, np.inf], dtype=np.float32)
OUTPUTS = (("large\0", "FP32", LARGE), ("small", "FP32", SMALL), ("texts", "BYTES", TEXTS))


def reply() -> InferenceReply:
    head = pb.ModelInferResponse(model_name="m", model_version="1")
    raws = []
    for name, datatype, array in OUTPUTS:
        head.outputs.add(name=name, datatype=datatype, shape=array.shape)
        raws.append(encode_raw(array, DATATYPES[datatype]))
    sizes = [len(raw) for raw in raws]
    template = InferResponseTemplate(head, 8, sizes, streamed=False, has_timings=False)
    message = template.render([b"12345678", *raws])
    return InferenceReply(message, message, template)


def request(**binary: bool) -> ParsedInferRequest:
    """Return a request for these outputs as binary data or as JSON."""
    asked = pb.ModelInferRequest(id="mine\0")
    return ParsedInferRequest(request=asked, raws=[], binary=binary, binary_default=False)


def expected(array: np.ndarray, datatype: str) -> Any:
    """Return the JSON of an output (Any), as it is written in one piece."""
    return orjson.loads(dump_tensor(to_json(array.ravel(), DATATYPES[datatype])))


@pytest.mark.parametrize("binary", [False, True])
async def test_large_outputs_are_in_their_places(binary: bool) -> None:
    status, headers, body = await render_infer(reply(), request(large=False, texts=binary))
    assert status == 200
    length = int(dict(headers).get(b"inference-header-content-length", len(body)))
    document = orjson.loads(body[:length])
    assert document["id"] == "mine\0"
    assert [output["name"] for output in document["outputs"]] == [name for name, _, _ in OUTPUTS]
    for output, (_, datatype, array) in zip(document["outputs"], OUTPUTS, strict=True):
        if "data" in output:
            assert output["data"] == expected(array, datatype)
    assert body[length:] == (encode_raw(TEXTS, DATATYPES["BYTES"]) if binary else b"")
