"""From the arrays of a run to the encoded responses of its calls."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence

import numpy as np

from inference_server.data_plane.batching import BatchResult
from inference_server.data_plane.calls import PendingCall
from inference_server.errors import InferenceError
from inference_server.runtime.signature import Signature
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES, Datatype
from protos.errors import ErrorCode, TensorError
from protos.message_templates import InferResponseTemplate, pack_double
from protos.parameters import INFER_SECONDS, QUEUE_SECONDS
from protos.tensors import encode_contents, encode_raw

_MAX_TEMPLATES = 1024
_UNSUPPORTED_PARAMETERS = ("classification", "shared_memory_region")

Shapes = tuple[tuple[int, ...], ...]


class ResponseEncoder:
    """Encodes the responses of one model version, from a template or with protobuf."""

    def __init__(self, model: str, version: str, signature: Signature, *, max_bytes: int) -> None:
        """Encode responses with up to `max_bytes` of tensors."""
        self._model = model
        self._version = version
        self._max_bytes = max_bytes
        self._datatypes: Mapping[str, Datatype] = {
            spec.name: DATATYPES[spec.datatype] for spec in signature.outputs
        }
        self._all_outputs = tuple(self._datatypes)
        self._fixed_size = frozenset(
            spec.name
            for spec in signature.outputs
            if DATATYPES[spec.datatype].size and not spec.optional
        )
        self._unsupported = signature.unsupported_outputs
        self._templates: dict[object, InferResponseTemplate] = {}

    def requested_outputs(self, request: pb.ModelInferRequest) -> tuple[str, ...]:
        """Return the names of the outputs that `request` lists, in its order; all by default.

        Raises:
            TensorError: an output is unknown or requested twice.
            InferenceError: NOT_IMPLEMENTED for an output that is not a tensor, or a special form.
        """
        if not request.outputs:
            return self._all_outputs
        names: list[str] = []
        for output in request.outputs:
            if output.name not in self._datatypes:
                raise self._unknown_output(output.name)
            if output.name in names:
                raise TensorError(f"output '{output.name}' is requested twice")
            for parameter in _UNSUPPORTED_PARAMETERS:
                if parameter in output.parameters:
                    message = f"output '{output.name}': the parameter {parameter} is not supported"
                    raise InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
            names.append(output.name)
        return tuple(names)

    def have_fixed_size(self, outputs: Sequence[str]) -> bool:
        """Whether a template can write these outputs: numbers, with a value after every run."""
        return bool(outputs) and self._fixed_size.issuperset(outputs)

    def encode(self, call: PendingCall, result: BatchResult) -> bytes:
        """Return the response to a call that took part in the run of `result`.

        Raises:
            InferenceError: INFERENCE_FAILED if an output has no value, and INFERENCE_TOO_LARGE if
                all together are too large; nothing has been copied then.
        """
        profile = call.profile
        queue_seconds = result.started_at - call.arrived_at
        if profile.typed or not profile.fixed_size_outputs:
            return self._encode_with_protobuf(call, result, queue_seconds)
        shapes = result.shapes
        if shapes is None:
            shapes = result.shapes = tuple([array.shape for array in result.arrays])
        rows = profile.rows if result.shared else None
        streamed = call.responder.streamed
        key = (profile.outputs, shapes, rows, len(call.id), streamed)
        template = self._templates.get(key)
        if template is None:
            if rows is not None:
                shapes = tuple([(rows, *shape[1:]) for shape in shapes])
            template = self._new_template(profile.outputs, shapes, len(call.id), streamed)
            self._templates[key] = template
        raw_outputs = result.raw_outputs
        if raw_outputs is None:
            raw_outputs = result.raw_outputs = [array.tobytes() for array in result.arrays]
            if rows is not None:
                result.row_bytes = [array.nbytes // len(array) for array in result.arrays]
        if rows is not None:
            start, end = call.first_row, call.first_row + rows
            raw_outputs = [
                raw[start * size : end * size]
                for raw, size in zip(raw_outputs, result.row_bytes, strict=True)
            ]
        seconds = (pack_double(result.infer_seconds), pack_double(queue_seconds))
        return template.render((call.id, *seconds, *raw_outputs))

    def _new_template(
        self, outputs: Sequence[str], shapes: Shapes, id_bytes: int, streamed: bool
    ) -> InferResponseTemplate:
        response = pb.ModelInferResponse(model_name=self._model, model_version=self._version)
        sizes: list[int] = []
        for name, shape in zip(outputs, shapes, strict=True):
            datatype = self._datatypes[name]
            response.outputs.add(name=name, datatype=datatype.name, shape=shape)
            sizes.append(math.prod(shape) * datatype.size)
        self._check_size(sum(sizes))
        if len(self._templates) >= _MAX_TEMPLATES:  # clients choose shapes: bound what they fill
            self._templates.clear()
        return InferResponseTemplate(response, id_bytes, sizes, streamed=streamed)

    def _encode_with_protobuf(
        self, call: PendingCall, result: BatchResult, queue_seconds: float
    ) -> bytes:
        profile = call.profile
        arrays = result.arrays
        if result.shared:
            start, end = call.first_row, call.first_row + profile.rows
            arrays = [array[start:end] for array in arrays]
        response = pb.ModelInferResponse(
            model_name=self._model, model_version=self._version, id=call.id_text
        )
        self._add_outputs(response, profile.outputs, arrays, typed=profile.typed)
        response.parameters[QUEUE_SECONDS].double_param = queue_seconds
        response.parameters[INFER_SECONDS].double_param = result.infer_seconds
        if call.responder.streamed:
            return pb.ModelStreamInferResponse(infer_response=response).SerializeToString()
        return response.SerializeToString()

    def _add_outputs(
        self,
        response: pb.ModelInferResponse,
        names: Sequence[str],
        arrays: Sequence[np.ndarray],
        *,
        typed: bool,
    ) -> None:
        """Add the outputs to `response`: typed if requested and possible, else raw.

        FP16 and BF16 have no typed form. A response with one of them is raw as a whole, because
        clients match raw contents with outputs by position.
        """
        self._check_size(sum([_byte_size(array) for array in arrays if array is not None]))
        datatypes = [self._datatypes[name] for name in names]
        typed = typed and all(datatype.contents for datatype in datatypes)
        for name, array, datatype in zip(names, arrays, datatypes, strict=True):
            if array is None:  # an output of an optional type
                message = f"the model gave no value for output '{name}'"
                raise InferenceError(ErrorCode.INFERENCE_FAILED, message)
            output = response.outputs.add(name=name, datatype=datatype.name, shape=array.shape)
            elements = array if datatype.size else _encode_strings(array)
            if typed:
                encode_contents(elements, datatype, output.contents)
            else:
                response.raw_output_contents.append(encode_raw(elements, datatype))

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            message = (
                f"outputs: expected at most {self._max_bytes} bytes together, got {size}: send "
                "less per call, or request fewer outputs"
            )
            raise InferenceError(ErrorCode.INFERENCE_TOO_LARGE, message)

    def _unknown_output(self, name: str) -> Exception:
        if name in self._unsupported:
            onnx_type = self._unsupported[name]
            message = f"output '{name}' is of type {onnx_type}: only tensors are supported"
            return InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
        listed = ", ".join(f"'{known}'" for known in self._all_outputs) or "no tensors"
        return TensorError(f"output {reprlib.repr(name)}: unknown, the model has {listed}")


def _byte_size(array: np.ndarray) -> int:
    """Return about how many bytes the elements take; of strings, their characters."""
    return sum(map(len, array.flat)) if array.dtype.hasobject else array.nbytes


def _encode_strings(array: np.ndarray) -> np.ndarray:
    elements = np.empty(array.size, dtype=object)
    elements[:] = [text.encode() for text in array.ravel().tolist()]
    return elements.reshape(array.shape)
