"""A model's tensors: JSON values → the tensors of a request, the tensors of a reply → JSON."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson

from gateway.deployments.fast_plan import FastPlan
from gateway.deployments.input_tensors import (
    InputData,
    Shape,
    check_shapes,
    pack_inputs,
    tensor_input,
)
from gateway.deployments.settings import NonFinite
from gateway.errors import GatewayError
from gateway.fast_path.array_slices import in_slices, restore_non_finite, to_lists
from gateway.fast_path.body import parse_body
from gateway.models.pins import ClassLabels
from gateway.runs.output_data import not_finite
from gateway.steps import Steps
from gateway.upstream.inference_stream import ID_BYTES
from gateway.web.large_tensors import in_parts, joined
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES, Datatype
from protos.errors import ErrorCode
from protos.json_tensors import (
    dump_in_parts,
    dump_rows_in_parts,
    dump_tensor,
    dump_with_nulls,
    to_json,
)
from protos.message_templates import InferRequestTemplate, InferResponseTemplate
from protos.non_finite import non_finite_name
from protos.parameters import TIMEOUT, set_owner, timeout_microseconds
from protos.tensors import decode_raw

_MAX_TEMPLATES = 1024
_FLOAT = "f"


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of `output_data`, and where it lies in the replies of one template."""

    name: str
    tensor: str
    datatype: Datatype
    shape: Shape
    start: int
    end: int
    dtype: np.dtype | None
    """Of an array that orjson writes as it lies in the reply; None: use `decode`."""
    class_labels: ClassLabels | None
    """Of probabilities [N, classes], which are N objects in JSON: class → probability."""

    def decode(self, message: bytes) -> object:
        """Return the value, as orjson writes it."""
        raw = memoryview(message)[self.start : self.end]
        array = decode_raw(raw, self.datatype, self.shape, tensor=self.tensor)
        if self.class_labels is not None:
            return _by_class(array, self.class_labels)
        return to_json(array, self.datatype)

    def parts(self, message: bytes, dump: Callable[[object], bytes]) -> Iterator[bytes]:
        """Yield `dump(self.decode(message))` in parts."""
        raw = memoryview(message)[self.start : self.end]
        labels = self.class_labels
        if labels is None:
            return dump_in_parts(raw, self.datatype, self.shape, dump, tensor=self.tensor)
        array = decode_raw(raw, self.datatype, self.shape, tensor=self.tensor)
        return dump_rows_in_parts(array, lambda rows: dump(_by_class(rows, labels)))

    def check_finite(self, message: bytes) -> None:
        """Raise GatewayError NON_FINITE_OUTPUT for the first NaN or infinity."""
        if not self.datatype.size:
            return
        raw = memoryview(message)[self.start : self.end]
        array = decode_raw(raw, self.datatype, self.shape, tensor=self.tensor)
        numbers = np.asarray(to_json(array, self.datatype))
        if numbers.dtype.kind != _FLOAT or (finite := np.isfinite(numbers)).all():
            return
        first = np.unravel_index(int(np.argmin(finite)), numbers.shape)
        steps = [f"[{at}]" for at in first]
        if self.class_labels is not None:
            steps[-1] = f".{self.class_labels[first[-1]]}"
        path = f"output_data.{self.name}{''.join(steps)}"
        raise not_finite(path, non_finite_name(float(numbers[first])))

    def restore_non_finite(self, values: dict[str, Any], message: bytes) -> None:
        """Put NaN and infinities into `values`, where JSON has null. Any: JSON."""
        array = self.decode(message)
        if isinstance(array, float) or self.class_labels is not None:
            values[self.name] = array
        elif isinstance(array, np.ndarray):
            restore_non_finite(values[self.name], array)

    def steps(self, message: bytes) -> Steps[Any]:
        """Return the value as `TensorCodec.values` has it. Any: JSON."""
        raw = memoryview(message)[self.start : self.end]
        array = decode_raw(raw, self.datatype, self.shape, tensor=self.tensor)
        if self.class_labels is not None:
            return (yield from in_slices(array, partial(_by_class, labels=self.class_labels)))
        value = to_json(array, self.datatype)
        if isinstance(value, np.ndarray):
            return (yield from in_slices(value, to_lists))
        return value


class TensorCodec:
    """Encodes requests and decodes replies of one plan; what calls have in common is done once."""

    def __init__(self, plan: FastPlan, owner: str | None = None) -> None:
        """Encode calls whose keys belong to `owner`; None: that is not known."""
        self.plan = plan
        self.by_owner = False
        """Whether requests name the owner: as the inference server wants, which the last call's
        stream says (`InferenceStreamClient.by_owner`). A request that does not runs alone there."""
        self._owner = owner
        self._inputs = [tensor_input(source) for source in plan.inputs]
        self._has_strings = any(not each.datatype.size for each in self._inputs)
        self._requests: dict[tuple[object, ...], InferRequestTemplate] = {}
        self._fields: dict[InferResponseTemplate, list[_Field]] = {}

    def encode(
        self, input_data: InputData, timeout: float
    ) -> tuple[InferRequestTemplate, list[bytes]]:
        """Return the template and the tensors of the inference request for `input_data`.

        Shapes are checked when a template is made for them. The request says that the reply may
        take `timeout` seconds.

        Raises:
            GatewayError: as `pack_inputs` and `check_shapes`.
        """
        shapes, raws = pack_inputs(self._inputs, input_data)
        key = (timeout, self.by_owner, *shapes)
        template = self._requests.get(key)
        # the same shape says nothing about the size of strings
        if template is None or (self._has_strings and template.sizes != [len(raw) for raw in raws]):
            template = self._new_request(timeout, shapes, raws)
            self._requests[key] = template
        return template, raws or [b""]

    def decode(
        self, message: bytes, template: InferResponseTemplate, non_finite: NonFinite
    ) -> bytes:
        """Return `output_data` as JSON.

        Raises:
            GatewayError: INFERENCE_FAILED where an output is missing; NON_FINITE_OUTPUT.
        """
        fields = self._fields.get(template)  # nearly always: a call less
        if fields is None:
            fields = self._known_fields(template)
        data = _output_data(fields, message)
        written = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
        if b"null" in written and non_finite is not NonFinite.NULL:
            if non_finite is NonFinite.ERROR:
                _check_finite(fields, message)
            members = (orjson.dumps(each) + b":" + dump_tensor(data[each]) for each in data)
            return b"{%b}" % b",".join(members)
        return written

    async def decode_large(
        self, message: bytes, template: InferResponseTemplate, non_finite: NonFinite
    ) -> bytes:
        """Return and raise what `decode` does; other calls go on meanwhile."""
        fields = self._known_fields(template)
        if non_finite is NonFinite.ERROR:
            await asyncio.to_thread(_check_finite, fields, message)
        dump = dump_with_nulls if non_finite is NonFinite.NULL else dump_tensor
        parts: list[bytes] = []
        for field in fields:
            before = b"," if parts else b"{"
            written = await in_parts(field.parts(message, dump))
            parts += (before, orjson.dumps(field.name), b":", *written)
        return await joined((*parts, b"}"))

    def values(self, message: bytes, template: InferResponseTemplate) -> dict[str, Any]:
        """Return `output_data` as a flow's value: JSON, with NaN and infinities as numbers.

        Raises:
            GatewayError: INFERENCE_FAILED where an output is missing.
        """
        written = self.decode(message, template, NonFinite.NULL)
        values: dict[str, Any] = orjson.loads(written)
        if b"null" in written:
            for field in self._fields[template]:
                field.restore_non_finite(values, message)
        return values

    def value_steps(self, message: bytes, template: InferResponseTemplate) -> Steps[dict[str, Any]]:
        """Return the same as `values`, in steps: for large replies."""
        values: dict[str, Any] = {}
        for field in self._known_fields(template):
            values[field.name] = yield from field.steps(message)
            yield
        return values

    def _known_fields(self, template: InferResponseTemplate) -> list[_Field]:
        fields = self._fields.get(template)
        if fields is None:
            if len(self._fields) >= _MAX_TEMPLATES:
                self._fields.clear()
            fields = self._fields[template] = self._fields_of(template)
        return fields

    def _new_request(
        self, timeout: float, shapes: list[Shape | None], raws: list[bytes]
    ) -> InferRequestTemplate:
        check_shapes(self._inputs, shapes)
        if len(self._requests) >= _MAX_TEMPLATES:
            self._requests.clear()
        plan = self.plan
        head = pb.ModelInferRequest(model_name=plan.model, model_version=str(plan.version))
        head.parameters[TIMEOUT].int64_param = timeout_microseconds(timeout)
        if self.by_owner:
            set_owner(head, self._owner)
        for each, shape in zip(self._inputs, shapes, strict=True):
            if shape is not None:
                head.inputs.add(name=each.source.name, datatype=each.datatype.name, shape=shape)
        for name in dict.fromkeys(output.name for output in plan.outputs):
            head.outputs.add(name=name)
        return InferRequestTemplate(head, ID_BYTES, [len(raw) for raw in raws])

    def _fields_of(self, template: InferResponseTemplate) -> list[_Field]:
        tensors = {
            name: (datatype, shape, start, end)
            for (name, datatype, shape), (start, end) in zip(
                template.tensors, template.outputs, strict=True
            )
        }
        fields: list[_Field] = []
        for output in self.plan.outputs:
            if output.name not in tensors:
                message = f"the inference server gave no output '{output.name}'"
                raise GatewayError(ErrorCode.INFERENCE_FAILED, message)
            name, shape, start, end = tensors[output.name]
            datatype = DATATYPES[name]
            labels = output.spec.class_labels
            is_plain = shape and datatype.is_native_number and labels is None
            fits = math.prod(shape) * datatype.size == end - start
            dtype = datatype.dtype if is_plain and fits else None
            place = shape, start, end
            fields.append(_Field(output.field, output.name, datatype, *place, dtype, labels))
        return fields


def _output_data(fields: Sequence[_Field], message: bytes) -> dict[str, Any]:
    """Return the values of `output_data`. Any: whatever orjson writes."""
    data: dict[str, Any] = {}
    for field in fields:
        if field.dtype is not None:
            data[field.name] = np.ndarray(field.shape, field.dtype, message, field.start)
        else:
            data[field.name] = field.decode(message)
    return data


def _by_class(array: np.ndarray, labels: ClassLabels) -> list[dict[str, float]]:
    """Return an object for each row of `array`, FP32 [N, classes]."""
    # by orjson, which writes a float32 with the digits that it has
    rows = to_lists(array)
    names = [str(label) for label in labels]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _check_finite(fields: Sequence[_Field], message: bytes) -> None:
    """Raise GatewayError NON_FINITE_OUTPUT for the first NaN or infinity."""
    for field in fields:
        field.check_finite(message)


def encode_body(
    body: bytes, headers: Mapping[bytes, bytes], plan: FastPlan, timeout: float
) -> tuple[InferRequestTemplate, list[bytes]]:
    """Return what `TensorCodec.encode` returns for a body; raises as that and `parse_body`."""
    return TensorCodec(plan).encode(parse_body(body, headers), timeout)
