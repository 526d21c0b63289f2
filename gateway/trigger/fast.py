"""A fast call: `input_data` → tensors → inference server → `output_data`. No flow engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from gateway.deployments.fast_plan import FastInput, FastPlan
from gateway.errors import GatewayError
from gateway.trigger.body import InputData
from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES, Datatype
from protos.errors import ErrorCode, TensorError
from protos.json_tensors import from_json, to_json
from protos.tensors import decode_raw, encode_raw

_MISSING = object()


@dataclass(frozen=True, slots=True)
class _Input:
    source: FastInput
    datatype: Datatype


class FastCall:
    """A fast plan made ready: what does not change from call to call is done once."""

    def __init__(self, plan: FastPlan) -> None:
        self.plan = plan
        self._inputs = [_Input(source, DATATYPES[source.spec.datatype]) for source in plan.inputs]
        self._fields = [
            (output.field, output.name, DATATYPES[output.spec.datatype]) for output in plan.outputs
        ]
        self._template = pb.ModelInferRequest(
            model_name=plan.model, model_version=str(plan.version)
        )
        for name in dict.fromkeys(output.name for output in plan.outputs):
            self._template.outputs.add(name=name)

    def request(self, input_data: InputData) -> pb.ModelInferRequest:
        """Return the inference request for `input_data`.

        Shapes are left to the inference server, which checks every caller's.

        Raises:
            GatewayError: INVALID_INPUT where a value is missing, INVALID_TENSOR where it does not
                fit its datatype; both point into the body.
        """
        request = pb.ModelInferRequest()
        request.CopyFrom(self._template)
        for item in self._inputs:
            source, datatype = item.source, item.datatype
            value = _lookup(input_data, source.path)
            if value is _MISSING:
                if source.spec.optional:
                    continue
                raise _missing(source)
            try:
                array = from_json(value, datatype, tensor=source.name)
            except TensorError as error:
                raise _misfit(source, error) from None
            request.inputs.add(name=source.name, datatype=datatype.name, shape=array.shape)
            request.raw_input_contents.append(encode_raw(array, datatype))
        return request

    def output_data(self, response: pb.ModelInferResponse) -> bytes:
        """Return `output_data` as JSON. What JSON cannot say (NaN, infinities) becomes null."""
        arrays: dict[str, np.ndarray] = {}
        raws = response.raw_output_contents
        for index, output in enumerate(response.outputs):
            datatype = DATATYPES[output.datatype]
            arrays[output.name] = decode_raw(
                raws[index], datatype, output.shape, tensor=output.name
            )
        # Any: whatever orjson writes
        data: dict[str, Any] = {
            field: to_json(arrays[name], datatype) for field, name, datatype in self._fields
        }
        return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


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
