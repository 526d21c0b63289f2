"""The inputs and outputs of a loaded model, in the terms of the Open Inference Protocol."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import onnxruntime as ort

from model_store.manifest import TensorSpec

_DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
    "bfloat16": "BF16",
    "string": "BYTES",
}
_TENSOR = re.compile(r"tensor\((\w+)\)")
_OPTIONAL = re.compile(r"optional\((.+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A model's inputs and outputs, and those that the protocol cannot carry."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    unsupported_inputs: Mapping[str, str]
    """Name → ONNX type, such as `seq(map(int64,tensor(float)))`."""
    unsupported_outputs: Mapping[str, str]


def protocol_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Return the shape for metadata: [-1] for any rank, which the protocol cannot express."""
    return (-1,) if spec.shape is None else spec.shape


def read_signature(session: ort.InferenceSession, *, unranked: Collection[str] = ()) -> Signature:
    """Return the inputs and outputs of `session`.

    Initializers that a caller may override are optional inputs, as are inputs of an optional type.
    ONNX Runtime reports scalars and tensors of any rank alike, without dimensions: `unranked` names
    those that the model file declares without a shape.
    """
    inputs, unsupported_inputs = _specs(session.get_inputs(), unranked)
    overridable, unsupported = _specs(
        session.get_overridable_initializers(), unranked, optional=True
    )
    outputs, unsupported_outputs = _specs(session.get_outputs(), unranked)
    return Signature(
        inputs=inputs + overridable,
        outputs=outputs,
        unsupported_inputs=unsupported_inputs | unsupported,
        unsupported_outputs=unsupported_outputs,
    )


def _specs(
    arguments: Iterable[ort.NodeArg], unranked: Collection[str], *, optional: bool = False
) -> tuple[tuple[TensorSpec, ...], dict[str, str]]:
    specs: list[TensorSpec] = []
    unsupported: dict[str, str] = {}
    for argument in arguments:
        wrapped = _OPTIONAL.fullmatch(argument.type)
        tensor = _TENSOR.fullmatch(wrapped[1] if wrapped else argument.type)
        datatype = _DATATYPES.get(tensor[1]) if tensor else None
        if datatype is None:
            unsupported[argument.name] = argument.type
            continue
        shape = None if not argument.shape and argument.name in unranked else _shape(argument.shape)
        specs.append(
            TensorSpec(
                name=argument.name,
                datatype=datatype,
                shape=shape,
                optional=optional or wrapped is not None,
            )
        )
    return tuple(specs), unsupported


def _shape(dimensions: Iterable[int | str | None]) -> tuple[int, ...]:
    """Return `dimensions` with -1 for those that have a name, or nothing, instead of a size."""
    return tuple(d if isinstance(d, int) and d >= 0 else -1 for d in dimensions)
