"""From what a request asks for, and the arrays that a session gave, to the answer's tensors."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence

import numpy as np

from inference_server.errors import InferenceError
from inference_server.runtime.signature import Signature
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES, Datatype
from protos.errors import ErrorCode, TensorError
from protos.tensors import encode_contents, encode_raw


class OutputWriter:
    """Writes answers of one model."""

    def __init__(self, signature: Signature, *, most_bytes: int) -> None:
        """Write up to `most_bytes` of tensors into an answer."""
        self._most_bytes = most_bytes
        self._datatypes: Mapping[str, Datatype] = {
            spec.name: DATATYPES[spec.datatype] for spec in signature.outputs
        }
        self._all = tuple(self._datatypes)
        self._unsupported = signature.unsupported_outputs

    def wanted(self, request: pb.ModelInferRequest) -> Sequence[str]:
        """Return the names of the outputs that `request` asks for, in its order; all by default.

        Raises:
            TensorError: an output is unknown or asked for twice.
            InferenceError: NOT_IMPLEMENTED for an output that is no tensor, or a special form.
        """
        if not request.outputs:
            return self._all
        names: list[str] = []
        for output in request.outputs:
            if output.name not in self._datatypes:
                raise self._unknown(output.name)
            if output.name in names:
                raise TensorError(f"output '{output.name}' is asked for twice")
            for parameter in ("classification", "shared_memory_region"):
                if parameter in output.parameters:
                    message = f"output '{output.name}': the parameter {parameter} is not offered"
                    raise InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
            names.append(output.name)
        return names

    def plain(self, names: Sequence[str]) -> bool:
        """Whether all these outputs are numbers of a fixed size."""
        return all(self._datatypes[name].size for name in names)

    def describe(
        self, response: pb.ModelInferResponse, names: Sequence[str], shapes: Sequence[Sequence[int]]
    ) -> list[int]:
        """Put plain outputs into `response` but for their elements; return the bytes of these.

        Raises:
            InferenceError: INFERENCE_FAILED where all together are too large.
        """
        sizes: list[int] = []
        for name, shape in zip(names, shapes, strict=True):
            datatype = self._datatypes[name]
            response.outputs.add(name=name, datatype=datatype.name, shape=shape)
            sizes.append(math.prod(shape) * datatype.size)
        self._check_size(sum(sizes))
        return sizes

    def write(
        self,
        response: pb.ModelInferResponse,
        names: Sequence[str],
        arrays: Sequence[np.ndarray],
        *,
        typed: bool,
    ) -> None:
        """Put the outputs into `response`: typed if asked for and possible, else raw.

        FP16 and BF16 have no typed form; an answer that holds one is raw as a whole, since clients
        match raw contents with outputs by their place.

        Raises:
            InferenceError: INFERENCE_FAILED where an output has no value, or all are too large.
        """
        self._check_size(sum([_size(array) for array in arrays if array is not None]))
        datatypes = [self._datatypes[name] for name in names]
        typed = typed and all(datatype.contents for datatype in datatypes)
        for name, array, datatype in zip(names, arrays, datatypes, strict=True):
            if array is None:  # an output of an optional type
                message = f"the model gave no value for output '{name}'"
                raise InferenceError(ErrorCode.INFERENCE_FAILED, message)
            output = response.outputs.add(name=name, datatype=datatype.name, shape=array.shape)
            elements = array if datatype.size else _encoded(array)
            if typed:
                encode_contents(elements, datatype, output.contents)
            else:
                response.raw_output_contents.append(encode_raw(elements, datatype))

    def _check_size(self, size: int) -> None:
        if size > self._most_bytes:
            message = f"the answer has {size} bytes, over the limit of {self._most_bytes}"
            raise InferenceError(ErrorCode.INFERENCE_FAILED, message)

    def _unknown(self, name: str) -> Exception:
        if name in self._unsupported:
            message = (
                f"output '{name}' is of type {self._unsupported[name]}: only tensors can be sent"
            )
            return InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
        listed = ", ".join(f"'{known}'" for known in self._all) or "no tensors"
        shown = reprlib.repr(name)
        return TensorError(f"output {shown}: unknown, the model gives {listed}")


def _size(array: np.ndarray) -> int:
    """Return about how many bytes the elements take; of strings, their characters."""
    return sum(map(len, array.flat)) if array.dtype.hasobject else array.nbytes


def _encoded(array: np.ndarray) -> np.ndarray:
    elements = np.empty(array.size, dtype=object)
    elements[:] = [text.encode() for text in array.ravel().tolist()]
    return elements.reshape(array.shape)
