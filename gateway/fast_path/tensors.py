"""A model's inputs and outputs: JSON values → tensors of a request, tensors of a reply → JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from gateway.deployments.fast_plan import FastInput, FastPlan
from gateway.errors import GatewayError
from gateway.upstream.predictor import ID_BYTES
from gateway.upstream.reply import InferenceReply
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES, Datatype
from protos.errors import ErrorCode, TensorError
from protos.json_tensors import pack_json, to_json
from protos.message_templates import InferRequestTemplate, InferResponseTemplate
from protos.parameters import TIMEOUT, timeout_microseconds
from protos.tensors import decode_raw

_MISSING = object()
_MAX_FORMS = 1024

InputData = dict[str, Any]
"""Any: a JSON object; large arrays in it are NumberArrays."""
Shapes = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of `output_data`, and where it lies in the answers of one form."""

    name: str
    tensor: str
    datatype: Datatype
    shape: tuple[int, ...]
    start: int
    end: int

    def read(self, message: bytes) -> object:
        """Return the value, as orjson writes it."""
        datatype = self.datatype
        if self.shape and datatype.is_native_number:
            count = (self.end - self.start) // datatype.size
            array = np.frombuffer(message, datatype.dtype, count, self.start)
            return array.reshape(self.shape)
        raw = memoryview(message)[self.start : self.end]
        return to_json(decode_raw(raw, datatype, self.shape, tensor=self.tensor), datatype)


class TensorCodec:
    """A plan for one model made ready: what does not change from call to call is done once."""

    def __init__(self, plan: FastPlan) -> None:
        self.plan = plan
        self._inputs = [(source, DATATYPES[source.spec.datatype]) for source in plan.inputs]
        self._variable = any(not datatype.size for _, datatype in self._inputs)
        self._request_forms: dict[tuple[int, Shapes], InferRequestTemplate] = {}
        self._fields: dict[InferResponseTemplate, list[_Field]] = {}

    def request(
        self, input_data: InputData, timeout: float
    ) -> tuple[InferRequestTemplate, list[bytes]]:
        """Return form and tensors of the inference request for `input_data`.

        Shapes are left to the inference server, which checks every caller's. It is told that the
        answer may take `timeout` seconds.

        Raises:
            GatewayError: INVALID_INPUT where a value is missing, INVALID_TENSOR where it does not
                fit its datatype; both point into the body.
        """
        shapes: list[tuple[int, ...] | None] = []
        raws: list[bytes] = []
        for source, datatype in self._inputs:
            value = _lookup(input_data, source.path)
            if value is _MISSING:
                if not source.spec.optional:
                    raise _missing(source)
                shapes.append(None)
                continue
            try:
                shape, raw = pack_json(value, datatype, tensor=source.name)
            except TensorError as error:
                raise _misfit(source, error) from None
            shapes.append(shape)
            raws.append(raw)
        granted = timeout_microseconds(timeout)
        key = (granted, tuple(shapes))
        form = self._request_forms.get(key)
        if form is None or (self._variable and form.sizes != [len(raw) for raw in raws]):
            form = self._new_form(granted, shapes, raws)
            self._request_forms[key] = form
        return form, raws or [b""]

    def output_data(self, reply: InferenceReply) -> bytes:
        """Return `output_data` as JSON. What JSON cannot say (NaN, infinities) becomes null.

        Raises:
            GatewayError: INFERENCE_FAILED where an output is missing.
        """
        form, message = reply.formed()
        fields = self._fields.get(form)
        if fields is None:
            if len(self._fields) >= _MAX_FORMS:
                self._fields.clear()
            fields = self._fields[form] = self._fields_in(form)
        # Any: whatever orjson writes
        data: dict[str, Any] = {field.name: field.read(message) for field in fields}
        return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)

    def _new_form(
        self, granted: int, shapes: list[tuple[int, ...] | None], raws: list[bytes]
    ) -> InferRequestTemplate:
        if len(self._request_forms) >= _MAX_FORMS:
            self._request_forms.clear()
        plan = self.plan
        head = pb.ModelInferRequest(model_name=plan.model, model_version=str(plan.version))
        head.parameters[TIMEOUT].int64_param = granted
        for (source, datatype), shape in zip(self._inputs, shapes, strict=True):
            if shape is not None:
                head.inputs.add(name=source.name, datatype=datatype.name, shape=shape)
        for name in dict.fromkeys(output.name for output in plan.outputs):
            head.outputs.add(name=name)
        return InferRequestTemplate(head, ID_BYTES, [len(raw) for raw in raws])

    def _fields_in(self, form: InferResponseTemplate) -> list[_Field]:
        found = {
            name: (datatype, shape, start, end)
            for (name, datatype, shape), (start, end) in zip(
                form.tensors, form.outputs, strict=True
            )
        }
        fields: list[_Field] = []
        for output in self.plan.outputs:
            if output.name not in found:
                message = f"the inference server gave no output '{output.name}'"
                raise GatewayError(ErrorCode.INFERENCE_FAILED, message)
            datatype, shape, start, end = found[output.name]
            fields.append(_Field(output.field, output.name, DATATYPES[datatype], shape, start, end))
        return fields


def _lookup(input_data: InputData, path: tuple[str, ...]) -> object:
    value: object = input_data
    for name in path:
        if type(value) is not dict:
            return _MISSING
        value = value.get(name, _MISSING)
    return value


def _pointer(source: FastInput) -> str:
    escaped = (name.replace("~", "~0").replace("/", "~1") for name in source.path)
    return "/".join(("#/input_data", *escaped))


def _missing(source: FastInput) -> GatewayError:
    shape = "any" if source.spec.shape is None else list(source.spec.shape)
    message = (
        f"input_data.{'.'.join(source.path)} is missing: expected the tensor '{source.name}', "
        f"{source.spec.datatype} with shape {shape}"
    )
    return _refused(ErrorCode.INVALID_INPUT, message, source)


def _misfit(source: FastInput, error: TensorError) -> GatewayError:
    return _refused(ErrorCode.INVALID_TENSOR, str(error), source)


def _refused(code: ErrorCode, message: str, source: FastInput) -> GatewayError:
    error: Mapping[str, str] = {"detail": message, "pointer": _pointer(source)}
    return GatewayError(code, message, errors=[error])
