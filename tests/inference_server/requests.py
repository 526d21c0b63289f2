"""Building requests, and reading answers back into arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.tensors import decode_contents, decode_raw, encode_contents, encode_raw


def infer_request(
    model: str,
    tensors: Mapping[str, tuple[str, np.ndarray]],
    *,
    typed: bool = False,
    outputs: Sequence[str] = (),
    call_id: str = "",
) -> pb.ModelInferRequest:
    """Return a request; `tensors` is name → (datatype, array)."""
    request = pb.ModelInferRequest(model_name=model, id=call_id)
    for name, (datatype, array) in tensors.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if typed:
            encode_contents(array, DATATYPES[datatype], tensor.contents)
        else:
            request.raw_input_contents.append(encode_raw(array, DATATYPES[datatype]))
    for name in outputs:
        request.outputs.add(name=name)
    return request


def arrays(response: pb.ModelInferResponse) -> dict[str, np.ndarray]:
    """Return the outputs, by name in their order."""
    raws = response.raw_output_contents
    assert not raws or len(raws) == len(response.outputs)
    found = {}
    for index, output in enumerate(response.outputs):
        datatype = DATATYPES[output.datatype]
        if raws:
            array = decode_raw(raws[index], datatype, output.shape, tensor=output.name)
        else:
            array = decode_contents(output.contents, datatype, output.shape, tensor=output.name)
        found[output.name] = array
    return found


def fp32(*rows: Sequence[float]) -> tuple[str, np.ndarray]:
    """Return rows of FP32 as a tensor for `infer_request`."""
    return "FP32", np.array(rows, "f4")


def strings(*elements: bytes) -> tuple[str, np.ndarray]:
    """Return BYTES elements as a tensor for `infer_request`."""
    return "BYTES", np.array(elements, dtype=object)
