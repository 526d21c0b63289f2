"""From the tensors of a parsed request to the arrays that a session takes, fully validated."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping

import numpy as np

from inference_server.errors import InferenceError
from inference_server.runtime.signature import Signature
from model_store.tensor_spec import TensorSpec
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES, get_datatype
from protos.errors import ErrorCode, TensorError
from protos.tensors import check_shape, decode_contents, decode_raw, element_count

Tensor = pb.ModelInferRequest.InferInputTensor


class InputReader:
    """Reads the inputs of requests for one model."""

    def __init__(self, signature: Signature) -> None:
        self._specs: Mapping[str, TensorSpec] = {spec.name: spec for spec in signature.inputs}
        self.required = frozenset(spec.name for spec in signature.inputs if not spec.optional)
        """The inputs that every call must send."""
        self.equal_sizes = signature.equal_sizes
        self._unsupported = signature.unsupported_inputs
        self._checked = frozenset(
            spec.name for spec in signature.inputs if spec.datatype in {"BOOL", "BYTES"}
        )

    def accepts_any_bytes(self, names: Iterable[str]) -> bool:
        """Whether the right number of bytes is always a valid value of these inputs."""
        return self._checked.isdisjoint(names)

    def read(self, request: pb.ModelInferRequest) -> dict[str, np.ndarray]:
        """Return name → array. Numbers are views of the request's bytes, BYTES become `str`.

        Raises:
            TensorError: a tensor does not fit; the message names it.
            InferenceError: NOT_IMPLEMENTED for features of the protocol that are not supported.
        """
        tensors, raws = request.inputs, request.raw_input_contents
        if raws and len(raws) != len(tensors):
            raise TensorError(
                f"raw_input_contents: expected {len(tensors)} entries, one for each input, "
                f"got {len(raws)}"
            )
        feeds: dict[str, np.ndarray] = {}
        for index, tensor in enumerate(tensors):
            name = tensor.name
            spec = self._specs.get(name)
            if spec is None:
                raise self._unknown_input(name)
            if name in feeds:
                raise TensorError(f"input '{name}' is sent twice")
            shape = _checked_shape(spec, tensor)
            datatype = DATATYPES[spec.datatype]
            if not raws:
                array = decode_contents(tensor.contents, datatype, shape, tensor=name)
            elif tensor.HasField("contents"):
                message = f"input '{name}': contents must not be set beside raw_input_contents"
                raise TensorError(message)
            else:
                array = decode_raw(raws[index], datatype, shape, tensor=name)
            feeds[name] = array if datatype.size else _decode_strings(array, name)
        if not self.required <= feeds.keys():
            missing = ", ".join(f"'{name}'" for name in sorted(self.required - feeds.keys()))
            raise TensorError(f"input {missing} is missing: the model takes {self._input_names()}")
        return feeds

    def _unknown_input(self, name: str) -> Exception:
        if name in self._unsupported:
            message = (
                f"input '{name}' is of type {self._unsupported[name]}: only tensors are supported"
            )
            return InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
        known = self._input_names()
        return TensorError(f"input {reprlib.repr(name)}: unknown, the model takes {known}")

    def _input_names(self) -> str:
        return ", ".join(f"'{name}'" for name in self._specs) or "no inputs"


def _checked_shape(spec: TensorSpec, tensor: Tensor) -> tuple[int, ...]:
    """Return the tensor's shape, if it and the datatype are those of `spec`."""
    if tensor.datatype != spec.datatype:
        get_datatype(tensor.datatype, tensor=spec.name)
        raise TensorError(
            f"tensor '{spec.name}': expected datatype {spec.datatype}, got {tensor.datatype}"
        )
    shape = tuple(tensor.shape)
    check_shape(shape, spec.shape, tensor=spec.name)
    if 0 in shape:  # numpy refuses dimensions whose product overflows, even if one of them is 0
        element_count([size for size in shape if size], tensor=spec.name)
    if tensor.parameters and "shared_memory_region" in tensor.parameters:
        message = (
            f"input '{spec.name}': shared memory is not supported, send the data in the request"
        )
        raise InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
    return shape


def _decode_strings(elements: np.ndarray, name: str) -> np.ndarray:
    """Return `elements` decoded to `str`: ONNX Runtime would read `bytes` as "b'…'"."""
    text = np.empty(elements.size, dtype=object)
    for index, element in enumerate(elements.flat):
        try:
            text[index] = element.decode()
        except UnicodeDecodeError as error:
            raise TensorError(
                f"tensor '{name}': element {index} is not valid UTF-8 ({error.reason} at "
                f"byte {error.start}); ONNX strings are text"
            ) from None
    return text.reshape(elements.shape)
